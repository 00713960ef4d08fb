"""T2 and the life of a lease: who is offered what, who wins, who may go on."""

import pytest

from hivemark.coordinator.ports import HiveModel, NewExecution, StateMoved
from hivemark.coordinator.store import SqlStore
from hivemark.jobs.lifecycle import ExecutionState, JobState

from .world import DIGEST, World


def cells(job_id: str, *wanted: tuple[str | None, str | None, str | None]) -> tuple[NewExecution, ...]:
    """One cell per (model name, digest, region)."""
    return tuple(
        NewExecution(f"exe_{job_id}_{index}", index, 0, 0, 0, 0, 0, 0, name, weights, region, 1)
        for index, (name, weights, region) in enumerate(wanted)
    )


def test_a_hive_is_offered_what_it_can_run(world: World) -> None:
    world.submit(
        executions=cells(
            "x",
            ("tiny", DIGEST, None),
            ("tiny", DIGEST, "EU"),
            ("tiny", DIGEST, "US"),
            ("tiny", "e" * 64, None),
            ("tiny", None, None),
            ("other", None, None),
            (None, None, None),
        )
    )
    assert [offer.execution.ordinal for offer in world.offers()] == [0, 1, 4, 6]


def test_nothing_is_offered_before_its_time_or_after_the_deadline(world: World) -> None:
    world.submit(created_ms=50, deadline_ms=60)
    assert [len(world.offers(now_ms=now_ms)) for now_ms in (49, 50, 59, 60)] == [0, 2, 2, 0]


def test_a_draining_or_revoked_hive_is_offered_nothing(store: SqlStore, world: World) -> None:
    world.submit()
    store.set_draining("hive_a", True)
    assert world.offers() == []
    store.set_draining("hive_a", False)
    assert len(world.offers()) == 2
    store.revoke_hive("hive_a", now_ms=30, log=world.entry("revoked"))
    assert world.offers() == []
    assert store.candidates("hive_nobody", now_ms=20, limit=1) == []


def test_offers_take_turns_between_jobs(world: World) -> None:
    first, second = world.submit(cells=5).job, world.submit(cells=5).job
    assert [offer.execution.job for offer in world.offers(limit=4)] == [first, second, first, second]


def test_the_first_lease_starts_the_job(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=2).job
    won = world.lease(limit=1)
    assert [(attempt.number, attempt.outcome) for attempt in won] == [(1, None)]
    cell = store.execution(won[0].execution)
    assert cell is not None and cell.state is ExecutionState.LEASED
    assert cell.version == won[0].lease_version and cell.attempt == won[0].id
    job = store.job(job_id)
    assert job is not None and job.state is JobState.EXECUTING and job.started_ms == 20
    world.lease()
    names = ["job_created", "job_enqueued", "job_started", "execution_leased", "execution_leased"]
    assert world.event_names(job_id) == names


def test_a_lost_race_answers_only_what_was_won(store: SqlStore, world: World) -> None:
    world.submit(cells=2)
    world.add_hive("hive_b")
    offers = world.offers()
    mine = [world.new_lease(offers[0])]
    theirs = [world.new_lease(offer, "hive_b") for offer in offers]
    assert len(store.lease(mine, now_ms=20)) == 1
    won = store.lease(theirs, now_ms=21)
    assert [attempt.execution for attempt in won] == [offers[1].execution.id]
    assert store.lease(theirs[:1], now_ms=22) == []


def test_a_cell_named_twice_is_leased_once(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    offer = world.offers()[0]
    assert len(store.lease([world.new_lease(offer), world.new_lease(offer)], now_ms=20)) == 1


def test_an_old_epoch_leases_and_renews_nothing(store: SqlStore, world: World) -> None:
    world.submit(cells=2)
    attempt = world.lease(limit=1)[0]
    offer = world.offers()[0]
    old = world.new_lease(offer)
    store.open_session("hive_a", session_sha256="new", address=None, now_ms=30)
    with pytest.raises(StateMoved) as moved:
        store.lease([old], now_ms=31)
    assert moved.value.code == "epoch_stale"
    with pytest.raises(StateMoved):
        store.renew("hive_a", epoch=1, held=[(attempt.id, attempt.lease_version)], lease_until_ms=9_000)


def test_a_started_attempt_runs_and_keeps_its_lease_version(store: SqlStore, world: World) -> None:
    job = world.submit(cells=1).job
    attempt = world.lease()[0]
    assert store.start(attempt.id, lease_version=attempt.lease_version, now_ms=30)
    assert not store.start(attempt.id, lease_version=attempt.lease_version, now_ms=31)
    assert not store.start("att_unknown", lease_version=1, now_ms=31)
    assert world.state_of(attempt.execution) == "running"
    started = store.attempt(attempt.id)
    assert started is not None and started.started_ms == 30
    assert world.event_names(job)[-1] == "execution_started"
    world.finish(attempt)
    assert not store.start(attempt.id, lease_version=attempt.lease_version, now_ms=32)


def test_a_renewal_answers_what_still_stands(store: SqlStore, world: World) -> None:
    world.submit(cells=3)
    kept, moved, other = world.lease(until_ms=1_000)
    world.lose(moved)
    held = [(kept.id, kept.lease_version), (moved.id, moved.lease_version), (other.id, 99), ("att_x", 1)]
    renewed = store.renew("hive_a", epoch=world.epochs["hive_a"], held=held, lease_until_ms=5_000)
    assert list(renewed) == [kept.id]
    ends = {attempt.id: attempt.lease_until_ms for attempt in store.open_attempts("hive_a")}
    assert ends == {kept.id: 5_000, other.id: 1_000}


def test_a_lease_that_reaches_past_the_deadline_is_not_extended(store: SqlStore, world: World) -> None:
    world.submit(cells=1, deadline_ms=500)
    attempt = world.lease(until_ms=600)[0]
    held = [(attempt.id, attempt.lease_version)]
    assert store.renew("hive_a", epoch=world.epochs["hive_a"], held=held, lease_until_ms=900) == []


def test_expired_attempts_are_those_whose_lease_is_over(store: SqlStore, world: World) -> None:
    world.submit(cells=2)
    early = world.lease(limit=1, until_ms=100)[0]
    world.lease(limit=1, until_ms=200)
    assert store.expired_attempts(now_ms=99, limit=9) == []
    assert [attempt.id for attempt in store.expired_attempts(now_ms=100, limit=9)] == [early.id]
    assert len(store.expired_attempts(now_ms=900, limit=1)) == 1


def test_an_unpinned_model_is_matched_by_name(world: World) -> None:
    world.add_hive("hive_u", models=[HiveModel("attached", None, "openai", None, None, None, False)])
    world.submit(executions=cells("u", ("attached", None, None), ("attached", DIGEST, None)))
    assert [offer.execution.ordinal for offer in world.offers("hive_u")] == [0]
