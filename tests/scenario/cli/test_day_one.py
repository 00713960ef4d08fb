"""The first hour of somebody who runs a network of his own: up, run, jobs, verify, join, down."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from hivemark.models_shipped import shipped

COMMAND = (sys.executable, "-m", "hivemark.cli")


@dataclass
class Machine:
    """A home, and the command line as it is typed there."""

    home: Path

    def run(self, *arguments: str, code: int = 0, stdin: str | None = None) -> str:
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            input=stdin,
            env=environment(self.home),
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def ask(self, *arguments: str, code: int = 0) -> Any:
        told = self.run(*arguments, "--json", code=code)
        return json.loads(told.strip().splitlines()[-1]) if code == 0 else told


def environment(home: Path) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("HIVEMARK_")}
    return {**clean, "HIVEMARK_HOME": str(home)}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    here = Machine(tmp_path_factory.mktemp("machine") / "home")
    here.first = here.ask("up", "--listen", "127.0.0.1:0")  # type: ignore[attr-defined]
    yield here
    here.run("down")


def test_the_first_start_shows_its_secrets_once(machine: Machine) -> None:
    first = machine.first["first_start"]  # type: ignore[attr-defined]
    assert len(first["admin_token"]) >= 32
    assert first["policy_fingerprint"].startswith("SHA256:")
    again = machine.ask("up")
    assert again["first_start"] is None
    kept = [path for path in machine.home.rglob("*") if path.is_file()]
    assert not [path for path in kept if first["admin_token"].encode() in path.read_bytes()]


def test_what_runs_is_well(machine: Machine) -> None:
    status = machine.ask("status")
    assert status["health"]["status"] == "ok"
    assert [program["running"] for program in status["programs"].values()] == [True, True]
    listed = machine.ask("models", "ls")
    for place in ("here", "offered"):
        assert [model["name"] for model in listed[place]] == ["hivemark-tiny-a", "hivemark-tiny-b"]
    (hive,) = machine.ask("hives", "ls")["hives"]
    assert hive["state"] == "linked"
    assert machine.ask("doctor")["worst"] in ("ok", "warn")
    assert "linked" in machine.run("logs", "hive")


@pytest.fixture(scope="module")
def ran(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("receipts")
    arguments = ["-q", "capital-peru", "-q", "Tell me <&> a story 🐝", "-m", "hivemark-tiny-a", "-n", "2"]
    return machine.ask("run", *arguments, "-o", str(folder)), folder


def test_a_job_is_run_and_its_receipts_are_verified(ran: tuple[dict[str, Any], Path]) -> None:
    result, folder = ran
    assert (result["state"], result["executions"], result["completed"]) == ("completed", 4, 4)
    assert (result["receipts_verified"], result["receipts_refused"]) == (4, 0)
    assert result["summary"][0]["control_right"]["of"] == 2
    assert len(list(folder.iterdir())) == 4


def test_the_job_can_be_found_again(machine: Machine, ran: tuple[dict[str, Any], Path]) -> None:
    job = ran[0]["job"]
    assert job in [each["id"] for each in machine.ask("jobs", "ls")["jobs"]]
    assert machine.ask("jobs", "show", job)["completed"] == 4
    assert machine.ask("jobs", "watch", job)["state"] == "completed"
    told = machine.run("jobs", "show", job)
    assert "capital-peru" in told
    assert "own-2" in told


def test_receipts_are_checked_from_files_with_the_pinned_policy(
    machine: Machine, ran: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    saved = machine.ask("jobs", "receipts", ran[0]["job"], "-o", str(tmp_path / "again"))
    assert saved["verified"] == 4
    assert machine.ask("verify", str(tmp_path / "again"))["verified"] == 4


def test_a_changed_receipt_is_refused_with_code_3(
    machine: Machine, ran: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    bundle = json.loads(sorted(ran[1].iterdir())[0].read_bytes())
    bundle["disclosed"]["output"]["text"] += "!"
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(bundle))
    assert "disclosure_mismatch" in machine.run("verify", str(forged), code=3)


def test_a_pulled_model_is_offered_without_a_restart(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(shipped()[0].path.read_bytes() + bytes(32))
    assert "within seconds" in machine.run("models", "pull", f"file:{tmp_path}/mine.gguf")
    run = ["run", "-q", "capital-peru", "-m", "mine", "-o", str(tmp_path / "receipts")]
    deadline = time.monotonic() + 30
    while "mine" not in {model["name"] for model in machine.ask("models", "ls")["offered"]}:
        assert time.monotonic() < deadline
    assert machine.ask(*run)["receipts_verified"] == 1
    machine.run("models", "rm", "mine", "--force")
    while "mine" in {model["name"] for model in machine.ask("models", "ls")["offered"]}:
        assert time.monotonic() < deadline


def test_a_second_machine_joins_by_a_link(machine: Machine, tmp_path: Path) -> None:
    link = machine.ask("hives", "link")["link"]
    second = Machine(tmp_path / "second")
    joined = second.ask("join", link, "--name", "second", "--region", "EU")
    try:
        hives = {hive["id"]: hive for hive in machine.ask("hives", "ls")["hives"]}
        assert hives[joined["hive"]]["region"] == "EU"
        assert (second.home / "policy").read_bytes() == (machine.home / "policy").read_bytes()
        assert "runs already" in second.run("join", link, code=1)
    finally:
        assert second.ask("down")["stopped"] == ["hive"]
    machine.ask("hives", "remove", joined["hive"])
    states = {hive["id"]: hive["state"] for hive in machine.ask("hives", "ls")["hives"]}
    assert states[joined["hive"]] == "revoked"


def test_a_stranger_s_job_is_refused_until_his_key_is_trusted(machine: Machine, tmp_path: Path) -> None:
    stranger = Machine(tmp_path / "stranger")
    key = stranger.ask("keys", "new")
    url = machine.ask("status")["url"]
    run = ["run", "-q", "capital-peru", "-m", "hivemark-tiny-a", "--url", url, "--no-wait", "--private"]
    assert "key_not_trusted" in stranger.run(*run, code=1)
    machine.ask("keys", "trust", key["public_key"], "--id", "stranger")
    assert stranger.ask(*run)["executions"] == 1
    assert key["public_key"] in [each["public_key"] for each in machine.ask("keys", "ls")["keys"]]


def test_a_policy_from_the_network_is_pinned_only_when_accepted(
    machine: Machine, ran: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    other = Machine(tmp_path / "other")
    key = other.ask("keys", "new")
    machine.ask("keys", "trust", key["public_key"])
    url = machine.ask("status")["url"]
    run = ["run", "-q", "capital-peru", "-m", "hivemark-tiny-a", "--url", url]
    told = other.run(*run, code=2, stdin="n\n")
    assert "first contact" in told
    assert "SHA256:" in told
    assert not (other.home / "policy").exists()
    assert other.ask(*run, "--yes")["receipts_verified"] == 1
    assert (other.home / "policy").read_bytes() == (machine.home / "policy").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "-q", "capital-of-nowhere", "-m", "hivemark-tiny-a"], "unknown_question"),
        (["run", "-q", "capital-peru", "-m", "no-such-model"], "unknown_model"),
        (["run", "-q", "capital-peru", "-m", "hivemark-tiny-a", "-r", "MOON"], "unknown_region"),
        (["jobs", "show", "job_00000000000000000000000000"], "unknown_job"),
    ],
)
def test_what_does_not_exist_is_an_error_with_a_name(
    machine: Machine, arguments: list[str], code: str
) -> None:
    told = machine.run(*arguments, code=1)
    assert code in told
    assert "error: " in told


def test_a_job_that_nobody_can_run_waits_and_can_be_called_off(machine: Machine) -> None:
    submitted = machine.ask("run", "-q", "capital-peru", "-m", "hivemark-tiny-a", "-r", "ASIA", "--no-wait")
    assert machine.ask("jobs", "show", submitted["job"])["state"] == "enqueued"
    assert machine.ask("jobs", "cancel", submitted["job"])["state"] == "cancelled"


def test_everything_agrees(machine: Machine, ran: tuple[dict[str, Any], Path]) -> None:
    assert machine.ask("fsck")["problems"] == []


def test_what_is_started_in_the_foreground_ends_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    up = subprocess.Popen(
        [*COMMAND, "up", "--foreground", "--listen", "127.0.0.1:0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home),
    )
    assert up.stdout is not None
    assert json.loads(up.stdout.readline())["first_start"]
    children = psutil.Process(up.pid).children(recursive=True)
    assert len(children) >= 2
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert up.returncode == 130


def test_damage_is_found_by_fsck(tmp_path: Path) -> None:
    here = Machine(tmp_path / "home")
    here.run("up", "--listen", "127.0.0.1:0")
    here.run("run", "-q", "capital-peru", "-m", "hivemark-tiny-a")
    here.run("down")
    assert here.ask("fsck")["problems"] == []
    blob = next(path for path in (here.home / "blobs").rglob("*") if path.is_file())
    content = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "problems" in here.run("fsck", "--json", code=1)
    blob.write_bytes(content)
    tile = next(path for path in (here.home / "log" / "tile").rglob("*") if path.is_file())
    tile.chmod(0o600)
    tile.write_bytes(tile.read_bytes()[:-1] + b"\0")
    assert "✗" in here.run("fsck", code=1)


def test_a_first_start_that_fails_for_its_port_keeps_its_secrets_for_the_next(tmp_path: Path) -> None:
    here = Machine(tmp_path / "home")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        told = here.run("up", "--no-hive", "--listen", f"127.0.0.1:{other.getsockname()[1]}", code=1)
    assert "address_unavailable" in told
    try:
        assert here.ask("up", "--no-hive", "--listen", "127.0.0.1:0")["first_start"]["admin_token"]
    finally:
        here.run("down")
