"""Several threads at once: every race has one winner, and whoever lost is told so."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from hivemark.coordinator.ports import StateMoved
from hivemark.coordinator.store import SqlStore
from hivemark.errors import ConflictError

from .world import GRANT_MICRO, World

T = TypeVar("T")


def at_once(*calls: Callable[[], T]) -> list[T | Exception]:
    """Run the calls in threads that start together; answers or the errors they raised."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | Exception:
        barrier.wait(10)
        try:
            return call()
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_one_of_several_results_for_a_lease_is_accepted(store: SqlStore, world: World) -> None:
    world.submit(cells=6)
    for attempt in world.lease():
        outcomes = at_once(*[lambda attempt=attempt: world.finish(attempt) for _ in range(3)])
        assert Counter(type(outcome) for outcome in outcomes) == {type(None): 1, StateMoved: 2}
    assert store.balance("acct_owner") == (0, 0, 6 * 300)


def test_a_result_and_the_reaper_do_not_both_win(store: SqlStore, world: World) -> None:
    world.submit(cells=6)
    for attempt in world.lease():
        outcomes = at_once(lambda a=attempt: world.finish(a), lambda a=attempt: world.lose(a))
        assert Counter(type(outcome) for outcome in outcomes) == {type(None): 1, StateMoved: 1}


def test_each_cell_is_leased_to_one_hive(store: SqlStore, world: World) -> None:
    hives = ["hive_a", "hive_b", "hive_c"]
    for hive in hives[1:]:
        world.add_hive(hive)
    world.submit(cells=12)
    leases = {hive: [world.new_lease(offer, hive) for offer in world.offers(limit=12)] for hive in hives}
    won = at_once(*[lambda hive=hive: store.lease(leases[hive], now_ms=20) for hive in hives])
    executions = [attempt.execution for attempts in won for attempt in attempts]
    assert len(executions) == len(set(executions)) == 12


def test_the_last_cells_finish_together_and_end_the_job_once(store: SqlStore, world: World) -> None:
    for _ in range(5):
        job = world.submit(cells=4).job
        attempts = world.lease()
        outcomes = at_once(*[lambda attempt=attempt: world.finish(attempt) for attempt in attempts])
        assert outcomes == [None] * 4
        assert world.event_names(job).count("job_completed") == 1


def test_the_same_job_submitted_at_once_is_made_once(store: SqlStore, world: World) -> None:
    job = world.new_job(idempotency_key="again")
    submitted = at_once(*[lambda: store.submit(job) for _ in range(4)])
    assert sorted(answer.replayed for answer in submitted) == [False, True, True, True]
    assert store.balance(world.account)[0] + store.balance(world.account)[1] == GRANT_MICRO


def test_a_nonce_used_at_once_serves_one(store: SqlStore, world: World) -> None:
    jobs = [world.new_job(nonce="once") for _ in range(3)]
    outcomes = at_once(*[lambda job=job: store.submit(job) for job in jobs])
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 2


def test_cancelling_against_results_leaves_the_books_right(store: SqlStore, world: World) -> None:
    for _ in range(3):
        job = world.submit(cells=4).job
        attempts = world.lease()
        finishing = [lambda attempt=attempt: world.finish(attempt) for attempt in attempts]
        at_once(lambda job=job: store.cancel(job, now_ms=100), *finishing)
        row = store.job(job)
        assert row is not None and row.held_micro == 0 and row.finished_ms is not None


def test_one_of_two_holders_leads(store: SqlStore) -> None:
    for round_ in range(5):
        now_ms = 1_000 * (round_ + 1)
        epochs = at_once(
            lambda now_ms=now_ms: store.lead(holder="one", now_ms=now_ms, lease_ms=100),
            lambda now_ms=now_ms: store.lead(holder="two", now_ms=now_ms, lease_ms=100),
        )
        assert sorted(epoch is None for epoch in epochs) == [False, True]


def test_two_assigners_under_one_epoch_share_the_queue(store: SqlStore, world: World) -> None:
    for number in range(40):
        store.queue_entry(world.entry(f"entry {number}"), now_ms=1)
    epoch = store.lead(holder="one", now_ms=1, lease_ms=100) or 0
    taken = at_once(*[lambda: store.assign(epoch=epoch, limit=20) for _ in range(3)])
    assert sorted(row.index for rows in taken for row in rows) == list(range(41))


def test_two_that_log_the_same_cut_make_one_entry(store: SqlStore, world: World) -> None:
    job = world.submit(cells=4).job
    world.lease()
    cut = store.cancel(job, now_ms=50)
    assert len(cut) == 4
    for attempt in cut:
        entries = [world.entry(f"cut {n} {attempt.id}", attempt=attempt.id) for n in range(3)]
        at_once(*[lambda entry=entry: store.queue_entry(entry, now_ms=60) for entry in entries])
    epoch = store.lead(holder="one", now_ms=1, lease_ms=100) or 0
    assert len(store.assign(epoch=epoch, limit=99)) == 1 + len(cut)  # the enrolment, and one each
