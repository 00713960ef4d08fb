"""One signed job through the running programs: accepted, leased, run, proved, paid, verified offline."""

import json
import stat
from pathlib import Path
from typing import Any

from hivemark.client.verify import verify_bundle
from hivemark.protocol.bundle import parse_bundle
from hivemark.translog.policy import parse_policy

from .conftest import Coordinator, noop, wait_until

QUESTIONS = [
    {"id": "greet", "text": 'hello <b>&"there" 🐝 שלום 𝒳', "category": "made-up"},
    {"id": "count", "text": "[[answer=one two three]] please", "expected": "three"},
]


def benchmark(spec_id: str, **members: Any) -> dict[str, Any]:
    return {
        "id": spec_id,
        "version": "1",
        "benchmark": {"name": "scripted", "version": "1"},
        "questions": QUESTIONS,
        "models": ["hivemark-tiny-a"],
        "execution": {"sampling": {"max_tokens": 32}},
        **members,
    }


def test_a_job_ends_with_receipts_that_verify_offline(coordinator: Coordinator) -> None:
    coordinator.add_hive("attic", region="US").wait_until_linked()
    coordinator.add_hive("cellar", region="EU").wait_until_linked()
    spec = benchmark("chain", runs=3, constraints={"regions": ["US", "EU"], "min_regions": 2})
    key = coordinator.account_key

    job = coordinator.wait_for_job(coordinator.submit(spec))

    assert (job["state"], job["progress"]["completed"]) == ("completed", 12)
    assert job["credits"]["held"] == "0.000000"
    assert job["credits"]["settled"] != "0.000000"
    executions = coordinator.get("/api/v1/jobs/chain?include=executions", key=key)["executions"]
    assert {one["region"]["claimed"] for one in executions} == {"US", "EU"}
    assert {one["output"] for one in executions if one["question"]["id"] == "count"} == {"one two three"}
    assert all(one["region"]["verified"] is False and one["simulated"] == ["region"] for one in executions)
    policy = parse_policy(coordinator.ask("GET", "/.well-known/hivemark-policy").body)
    target = f"/api/v1/jobs/{job['id']}/bundles"
    answer = wait_until(
        lambda: (found := coordinator.ask("GET", target, key=key)).status == 200 and found, timeout_s=15
    )
    bundles = [parse_bundle(line) for line in answer.body.splitlines()]
    assert len(bundles) == 12
    for bundle in bundles:
        assert verify_bundle(bundle, policy).signers_known


def test_a_hive_that_claims_no_region_serves_jobs_that_name_none(coordinator: Coordinator) -> None:
    coordinator.add_hive("nowhere").wait_until_linked()
    job = coordinator.wait_for_job(coordinator.submit(benchmark("anywhere")))

    executions = coordinator.get(f"/api/v1/executions?job={job['id']}", key=coordinator.account_key)

    assert job["state"] == "completed"
    assert {one["region"]["claimed"] for one in executions["executions"]} == {None}


def test_the_event_stream_tells_the_whole_story_and_resumes(coordinator: Coordinator) -> None:
    coordinator.add_hive("attic", region="US").wait_until_linked()
    job = coordinator.submit(noop("told", runs=2))
    coordinator.wait_for_job(job)

    events = read_events(coordinator, job)

    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["event"] == "job_created"
    assert events[-1]["event"] == "job_completed"
    assert sum(event["event"] == "execution_completed" for event in events) == 2
    assert read_events(coordinator, job, after=events[-2]["id"]) == events[-1:]


def test_a_private_job_shows_itself_to_its_account_alone(coordinator: Coordinator) -> None:
    coordinator.add_hive("attic", region="US").wait_until_linked()
    job = coordinator.submit(benchmark("secret"))
    coordinator.wait_for_job(job)
    target = f"/api/v1/jobs/{job}?include=executions"

    stranger = coordinator.ask("GET", target)
    by_token = coordinator.get(target, admin=True)
    by_account = coordinator.get(target, key=coordinator.account_key)

    assert (stranger.status, stranger.json["code"]) == (404, "unknown_job")
    assert {one["output"] for one in by_token["executions"]} == {None}
    assert all(one["output"] for one in by_account["executions"])
    assert coordinator.get("/api/v1/jobs")["jobs"] == []


def test_nobody_else_on_the_machine_reads_texts_even_where_the_home_is_open(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    coordinator = Coordinator(home).start()
    try:
        coordinator.add_hive("attic").wait_until_linked()
        coordinator.wait_for_job(coordinator.submit(benchmark("open-house")))
        made = [path for path in home.rglob("*") if path.name != "stderr"]  # which the fixture opens
        assert any(path.parent.parent.name == "blobs" for path in made)
        assert [path for path in made if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []
    finally:
        coordinator.close()


def test_a_public_job_is_read_by_anyone(coordinator: Coordinator) -> None:
    coordinator.add_hive("attic", region="US").wait_until_linked()
    job = coordinator.submit(benchmark("open", execution={"visibility": "public"}))
    coordinator.wait_for_job(job)

    executions = coordinator.get(f"/api/v1/executions?job={job}")["executions"]

    assert all(one["output"] for one in executions)


def test_a_cancelled_job_ends_and_its_cut_attempts_are_logged(coordinator: Coordinator) -> None:
    coordinator.add_hive(
        "attic", region="US", slots=1, script={"first_token_delay_s": 30}
    ).wait_until_linked()
    job = coordinator.submit(benchmark("called-off"))
    key = coordinator.account_key
    wait_until(
        lambda: coordinator.get(f"/api/v1/jobs/{job}", key=key)["progress"]["running"] == 1, timeout_s=20
    )

    answer = coordinator.ask("POST", f"/api/v1/jobs/{job}/cancel", b"", key=key)

    assert (answer.status, answer.json["state"]) == (200, "cancelled")
    again = coordinator.ask("POST", f"/api/v1/jobs/{job}/cancel", b"", key=key)
    assert (again.status, again.json["code"]) == (409, "job_final")
    root = wait_until(lambda: log_size(coordinator) >= 2 and log_size(coordinator), timeout_s=10)
    assert root == 2  # one enrolment, one attempt that was cut


def log_size(coordinator: Coordinator) -> int:
    answer = coordinator.ask("GET", "/api/v1/transparency/root")
    return int(answer.json["size"]) if answer.status == 200 else 0


def read_events(coordinator: Coordinator, job: str, *, after: int = 0) -> list[dict[str, Any]]:
    answer = coordinator.ask(
        "GET",
        f"/api/v1/jobs/{job}/events",
        key=coordinator.account_key,
        headers={"Last-Event-ID": str(after)} if after else {},
    )
    assert answer.status == 200, answer.body
    events = []
    for block in answer.body.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        events.append({"id": int(fields["id"]), "event": fields["event"], "data": json.loads(fields["data"])})
    return events
