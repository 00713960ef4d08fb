"""The life of the process: it starts once per home, stops in order, and comes back where it was."""

import http.client
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from hivemark.api.joinlink import parse_join_link
from hivemark.errors import HivemarkError
from hivemark.hive.enrol import enrol

from .conftest import PROGRAM, Coordinator, noop, wait_until
from .test_chain import benchmark


def failed_start(home: Path, *flags: str) -> dict[str, str]:
    run = subprocess.run(
        [*PROGRAM, "--home", home, *flags],
        capture_output=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert run.returncode == 1, run.stderr
    line = json.loads(run.stdout)
    assert line["event"] == "failed"
    return dict(line)


def test_an_address_that_others_reach_is_refused(tmp_path: Path) -> None:
    line = failed_start(tmp_path, "--listen", "0.0.0.0:0")
    assert line["code"] == "tls_required"
    assert "hivemark up --listen" in line["hint"]
    assert list(tmp_path.iterdir()) == []


def test_a_home_is_served_by_one_process(coordinator: Coordinator) -> None:
    assert failed_start(coordinator.home, "--listen", "127.0.0.1:0")["code"] == "home_in_use"


def test_a_taken_address_is_named(coordinator: Coordinator, tmp_path: Path) -> None:
    where = coordinator.url.removeprefix("http://")
    assert failed_start(tmp_path / "other", "--listen", where)["code"] == "address_unavailable"


def test_sigterm_ends_streams_and_links_in_order(coordinator: Coordinator) -> None:
    hive = coordinator.add_hive("attic", region="US").wait_until_linked()
    job = coordinator.submit(noop("waits", constraints={"regions": ["EU"]}))
    host, port = coordinator.url.removeprefix("http://").split(":")
    stream = http.client.HTTPConnection(host, int(port), timeout=20)
    token = {"Authorization": f"Bearer {coordinator.admin_token}"}
    stream.request("GET", f"/api/v1/jobs/{job}/events", headers=token)
    answer = stream.getresponse()
    assert answer.readline() == b"id: 1\n"
    assert (coordinator.home / "run" / "coordinator.json").exists()

    began = time.monotonic()
    assert coordinator.stop(signal.SIGTERM) == 0

    assert time.monotonic() - began < 5
    assert b"job_enqueued" in answer.read()
    stream.close()
    assert not (coordinator.home / "run" / "coordinator.json").exists()
    assert b"Traceback" not in (coordinator.home / "stderr").read_bytes()
    coordinator.start()
    hive.wait_until_linked()


def test_the_end_of_stdin_ends_it(coordinator: Coordinator) -> None:
    assert coordinator.process is not None and coordinator.process.stdin is not None
    coordinator.process.stdin.close()
    assert coordinator.wait() == 0


def test_a_job_goes_on_after_a_kill_in_its_middle(coordinator: Coordinator) -> None:
    coordinator.add_hive("attic", region="US", slots=4, script={"token_delay_s": 0.05}).wait_until_linked()
    key = coordinator.account_key
    job = coordinator.submit(benchmark("long", runs=15))
    target = f"/api/v1/jobs/{job}"
    wait_until(lambda: coordinator.get(target, key=key)["progress"]["completed"] >= 3, timeout_s=30)

    coordinator.stop(signal.SIGKILL)
    coordinator.start()

    done = coordinator.wait_for_job(job)
    assert (done["state"], done["progress"]["completed"]) == ("completed", 30)
    lines = wait_until(
        lambda: (found := coordinator.ask("GET", f"{target}/bundles", key=key)).status == 200 and found.body,
        timeout_s=15,
    )
    assert len({json.loads(line)["entry"] for line in lines.splitlines()}) == 30


def test_a_join_link_admits_one_hive_and_a_wrong_one_none(coordinator: Coordinator, tmp_path: Path) -> None:
    text = coordinator.ask("POST", "/api/v1/hives/join-links", b"{}", admin=True).json["link"]
    link = parse_join_link(text)
    enrol(tmp_path / "first", link, name="first")
    with pytest.raises(HivemarkError) as caught:
        enrol(tmp_path / "second", link, name="second")
    assert caught.value.code == "join_token_invalid"
    guessed = parse_join_link(text.replace(f"t={link.token}", "t=" + "x" * 43))
    with pytest.raises(HivemarkError) as caught:
        enrol(tmp_path / "third", guessed, name="third")
    assert caught.value.code == "join_token_invalid"
    assert [hive["name"] for hive in coordinator.get("/api/v1/hives")["hives"]] == ["first"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "credential_missing"),
        ({"Authorization": "Bearer x", "Hivemark-Hive": "hive_x", "Hivemark-Epoch": "1"}, "session_unknown"),
        ({"Authorization": "Bearer x", "Hivemark-Hive": "HIVE", "Hivemark-Epoch": "0"}, "epoch_stale"),
        ({"Authorization": "Bearer x", "Hivemark-Hive": "HIVE", "Hivemark-Epoch": "1"}, "session_unknown"),
    ],
)
def test_a_result_needs_the_session_of_its_epoch(
    linked: tuple[Coordinator, str], headers: dict[str, str], code: str
) -> None:
    coordinator, hive = linked
    sent = {name: value.replace("HIVE", hive) for name, value in headers.items()}
    answer = coordinator.ask("POST", "/api/v1/link/attempts/att_x/result", b"{}", headers=sent)
    assert (answer.status, answer.json["code"]) == (401, code)


@pytest.fixture(scope="module")
def linked(shared: Coordinator) -> tuple[Coordinator, str]:
    return shared, shared.add_hive("attic", region="US").wait_until_linked().id


def test_engines_that_break_leave_executions_dead_and_say_why(coordinator: Coordinator) -> None:
    coordinator.add_hive("attic", region="US", slots=2, script={"fault": "garbage_json"}).wait_until_linked()
    job = coordinator.wait_for_job(coordinator.submit(benchmark("broken")), timeout_s=90)
    key = coordinator.account_key

    executions = coordinator.get(f"/api/v1/executions?job={job['id']}", key=key)["executions"]

    assert job["state"] == "failed"
    assert {one["state"] for one in executions} <= {"dead", "failed"}
    assert all(one["failure"]["code"] and one["failure"]["stage"] for one in executions)
    assert job["credits"] == {"held": "0.000000", "settled": "0.000000"}


def test_idle_memory_is_known(coordinator: Coordinator) -> None:
    """The aim is 150 MiB; twice that would be a mistake such as an import of NumPy."""
    assert coordinator.process is not None
    maps = Path(f"/proc/{coordinator.process.pid}/maps").read_text()
    assert "numpy" not in maps
    rollup = Path(f"/proc/{coordinator.process.pid}/smaps_rollup").read_text()
    pss_kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    print(f"coordinator idle: {pss_kib / 1024:.1f} MiB PSS")
    assert pss_kib < 300 * 1024
