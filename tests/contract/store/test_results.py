"""T3: an attempt ends once, is paid at most once, and the last cell ends the job."""

import pytest

from hivemark.coordinator.ports import StateMoved
from hivemark.coordinator.store import SqlStore
from hivemark.errors import NotFoundError
from hivemark.jobs.lifecycle import ATTEMPTS_MAX, ExecutionEvent, JobState

from .world import GRANT_MICRO, HOLD_MICRO, World


def test_a_success_is_paid_into_pending_and_the_rest_goes_back(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=2).job
    attempt = world.lease(limit=1)[0]
    world.finish(attempt, charge_micro=300)
    row = store.attempt(attempt.id)
    assert row is not None and (row.outcome, row.log_entry) == ("accepted", attempt.id)
    job = store.job(job_id)
    assert job is not None and (job.held_micro, job.settled_micro) == (HOLD_MICRO, 300)
    assert store.balance(world.account) == (GRANT_MICRO - HOLD_MICRO - 300, HOLD_MICRO, 0)
    assert store.balance("acct_owner") == (0, 0, 300)


def test_no_hive_is_paid_more_than_was_held(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    world.finish(world.lease()[0], charge_micro=HOLD_MICRO * 5)
    assert store.balance("acct_owner") == (0, 0, HOLD_MICRO)


def test_a_second_result_for_the_same_lease_is_refused(store: SqlStore, world: World) -> None:
    world.submit(cells=2)
    attempt = world.lease(limit=1)[0]
    world.finish(attempt)
    with pytest.raises(StateMoved) as moved:
        world.finish(attempt)
    assert moved.value.code == "lease_moved"
    assert store.balance("acct_owner") == (0, 0, 300)


def test_a_result_under_another_lease_version_is_refused(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    first = world.lease()[0]
    world.lose(first)
    second = world.lease(now_ms=200)[0]
    assert second.number == 2 and second.lease_version > first.lease_version
    with pytest.raises(StateMoved):
        world.finish(first)
    with pytest.raises(NotFoundError):
        store.record_result(world.result(type(first)(*["att_none", *_fields(first)[1:]])))
    world.finish(second)


def test_the_last_cell_ends_the_job(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=2, min_success_rate=0.5).job
    first, second = world.lease()
    world.finish(first)
    assert _state(store, job_id) is JobState.EXECUTING
    world.finish(second, ExecutionEvent.FAILED_PERMANENT, charge_micro=0)
    job = store.job(job_id)
    assert job is not None and job.state is JobState.COMPLETED and job.finished_ms == 100
    assert (job.progress.completed, job.progress.failed) == (1, 1)
    assert job.progress.regions_completed == 1
    assert world.event_names(job_id)[-2:] == ["execution_failed", "job_completed"]
    assert job.held_micro == 0


def test_too_few_successes_fail_the_job(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=2, min_success_rate=0.67).job
    first, second = world.lease()
    world.finish(first)
    world.finish(second, ExecutionEvent.FAILED_PERMANENT, charge_micro=0)
    assert _state(store, job_id) is JobState.FAILED


def test_transient_faults_are_tried_again_and_then_dead(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=1).job
    for number in range(1, ATTEMPTS_MAX + 1):
        attempt = world.lease(now_ms=100 * number)[0]
        assert attempt.number == number
        assert store.balance(world.account)[1] == HOLD_MICRO
        world.finish(attempt, ExecutionEvent.FAILED_TRANSIENT, charge_micro=50)
    assert world.state_of(attempt.execution) == "dead"
    assert _state(store, job_id) is JobState.FAILED
    assert store.balance(world.account) == (GRANT_MICRO, 0, 0)
    assert store.balance("acct_owner") == (0, 0, 0)
    assert world.event_names(job_id)[-2:] == ["execution_dead", "job_failed"]


def test_a_lost_lease_queues_the_cell_again_after_its_pause(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    attempt = world.lease()[0]
    world.lose(attempt, now_ms=500)
    cell = store.execution(attempt.execution)
    assert cell is not None
    assert (cell.state, cell.queued_ms, cell.not_before_ms) == ("queued", 500, 500)
    assert world.offers(now_ms=499) == [] and len(world.offers(now_ms=500)) == 1
    with pytest.raises(StateMoved):
        world.lose(attempt)


def test_a_late_receipt_is_logged_once_and_never_paid(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    attempt = world.lease()[0]
    late = {"receipt_sha256": "a" * 64, "now_ms": 900}
    with pytest.raises(StateMoved):  # it is not late yet
        store.record_late(attempt.id, log=world.entry("too early"), **late)
    world.lose(attempt)
    assert store.record_late(attempt.id, log=world.entry("late"), **late)
    assert not store.record_late(attempt.id, log=world.entry("late again"), **late)
    assert store.balance("acct_owner") == (0, 0, 0)


def test_a_repeated_accepted_receipt_is_not_recorded_as_late(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    attempt = world.lease()[0]
    world.finish(attempt)
    row = store.attempt(attempt.id)
    assert row is not None and row.receipt_sha256 is not None
    entry = world.entry("repeated")
    assert not store.record_late(attempt.id, receipt_sha256=row.receipt_sha256, now_ms=900, log=entry)


def test_cancelling_ends_every_open_cell_and_gives_the_holds_back(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=3).job
    done, running = world.lease(limit=2)
    world.finish(done)
    store.start(running.id, lease_version=running.lease_version, now_ms=50)
    cancelled = store.cancel(job_id, now_ms=200)
    assert [(attempt.id, attempt.outcome) for attempt in cancelled] == [(running.id, "cancelled")]
    job = store.job(job_id)
    assert job is not None and job.state is JobState.CANCELLED
    assert (job.progress.completed, job.progress.cancelled) == (1, 2)
    assert store.balance(world.account) == (GRANT_MICRO - 300, 0, 0)
    assert store.cancel(job_id, now_ms=201) == []
    with pytest.raises(StateMoved):
        world.finish(running)
    assert store.record_late(running.id, receipt_sha256="b" * 64, now_ms=300, log=world.entry("late"))
    with pytest.raises(NotFoundError):
        store.cancel("job_unknown", now_ms=1)


def test_the_deadline_ends_what_is_queued_and_leaves_what_runs(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=3, deadline_ms=400, min_success_rate=0.3).job
    running = world.lease(limit=1)[0]
    assert store.expire_jobs(now_ms=399, limit=9) == 0
    assert store.expire_jobs(now_ms=400, limit=9) == 1
    assert store.expire_jobs(now_ms=401, limit=9) == 0
    assert _state(store, job_id) is JobState.EXECUTING
    world.finish(running)
    assert _state(store, job_id) is JobState.COMPLETED
    assert store.balance(world.account) == (GRANT_MICRO - 300, 0, 0)


def test_a_job_that_was_never_leased_fails_at_its_deadline(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=2, deadline_ms=400).job
    store.expire_jobs(now_ms=500, limit=9)
    assert _state(store, job_id) is JobState.FAILED
    assert store.balance(world.account) == (GRANT_MICRO, 0, 0)


def test_events_have_no_gaps_and_resume_after_any(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=4).job
    for attempt in world.lease():
        world.finish(attempt)
    events = store.events_after(job_id, seq=0, limit=100)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert list(store.events_after(job_id, seq=3, limit=2)) == list(events[3:5])


def _state(store: SqlStore, job_id: str) -> JobState:
    job = store.job(job_id)
    assert job is not None
    return job.state


def _fields(row: object) -> list[object]:
    return [getattr(row, name) for name in type(row).__slots__]
