"""T4–T6 and the fence: indices once and in order, one leader, pay once per covered entry."""

import pytest

from hivemark.coordinator.ports import NewLogEntry, StateMoved
from hivemark.coordinator.store import SqlStore
from hivemark.errors import InvalidError

from .world import World


def lead(store: SqlStore, holder: str = "one", *, now_ms: int = 1_000) -> int | None:
    return store.lead(holder=holder, now_ms=now_ms, lease_ms=100)


def test_indices_are_given_once_and_in_the_order_of_the_queue(store: SqlStore, world: World) -> None:
    for number in range(3):
        store.queue_entry(world.entry(f"entry {number}"), now_ms=5)
    epoch = lead(store)
    assert epoch == 1
    first = store.assign(epoch=epoch, limit=2)
    second = store.assign(epoch=epoch, limit=9)
    assert [row.index for row in (*first, *second)] == [0, 1, 2, 3]
    assert [row.leaf for row in (*first, *second)][1:] == [b"entry 0", b"entry 1", b"entry 2"]
    assert store.assign(epoch=epoch, limit=9) == []
    assert store.log_state().size == 4
    assert [row.leaf for row in store.log_rows(start=1, end=3)] == [b"entry 0", b"entry 1"]


def test_a_private_entry_keeps_what_its_leaf_commits_to(store: SqlStore, world: World) -> None:
    store.queue_entry(NewLogEntry("private", b"leaf", b"entry", b"salt", None), now_ms=5)
    row = store.log_row("private")
    assert row is not None and (row.index, row.leaf, row.entry, row.salt) == (
        None,
        b"leaf",
        b"entry",
        b"salt",
    )
    store.queue_entry(world.entry("public", id_="public"), now_ms=5)
    store.assign(epoch=lead(store) or 0, limit=9)
    public = store.log_row("public")
    assert public is not None and public.entry == public.leaf == b"public"
    assert public.index is not None and store.log_row_by_index(public.index) == public
    assert store.log_row("none") is None and store.log_row_by_index(99) is None


def test_one_leads_until_its_lease_is_over(store: SqlStore) -> None:
    assert lead(store, "one", now_ms=1_000) == 1
    assert lead(store, "two", now_ms=1_050) is None
    assert lead(store, "one", now_ms=1_090) == 1
    assert lead(store, "two", now_ms=1_189) is None
    assert lead(store, "two", now_ms=1_190) == 2
    assert lead(store, "one", now_ms=1_200) is None


def test_a_leader_that_slept_through_its_lease_gets_a_new_epoch(store: SqlStore) -> None:
    assert lead(store, "one", now_ms=1_000) == 1
    assert lead(store, "one", now_ms=2_000) == 2


def test_a_replaced_leader_can_change_nothing(store: SqlStore, world: World) -> None:
    old = lead(store, "one", now_ms=1_000) or 0
    store.assign(epoch=old, limit=9)
    new = lead(store, "two", now_ms=2_000) or 0
    before = store.log_state()
    for move in (
        lambda: store.assign(epoch=old, limit=9),
        lambda: store.publish(epoch=old, size=1, root=b"r", checkpoint="c"),
        lambda: store.adopt(epoch=old, start=1, leaves=[b"x"], checkpoint="c", size=2, root=b"r"),
    ):
        with pytest.raises(StateMoved) as moved:
            move()
        assert moved.value.code == "log_epoch_stale"
    assert store.log_state() == before
    store.publish(epoch=new, size=1, root=b"r", checkpoint="c")


def test_a_checkpoint_never_goes_back_nor_ahead_of_the_indices(store: SqlStore, world: World) -> None:
    store.queue_entry(world.entry("second"), now_ms=1)
    epoch = lead(store) or 0
    store.assign(epoch=epoch, limit=9)
    store.publish(epoch=epoch, size=2, root=b"2", checkpoint="two")
    for size in (1, 3):
        with pytest.raises(StateMoved):
            store.publish(epoch=epoch, size=size, root=b"x", checkpoint="x")
    state = store.log_state()
    assert (state.published_size, state.published_root, state.published_checkpoint) == (2, b"2", "two")


def test_adopted_entries_are_not_logged_again(store: SqlStore, world: World) -> None:
    """The enrolment of the world's hive waits in the queue; the tiles had it at index 1."""
    epoch = lead(store) or 0
    leaves = [b"from the future", b"enrolled hive_a", b"also from there"]
    store.adopt(epoch=epoch, start=0, leaves=leaves[:2], checkpoint="cp", size=3, root=b"r")
    assert store.log_state().published_size == 0
    store.adopt(epoch=epoch, start=2, leaves=leaves[2:], checkpoint="cp", size=3, root=b"r")
    state = store.log_state()
    assert (state.size, state.published_size, state.published_checkpoint) == (3, 3, "cp")
    assert [row.leaf for row in store.log_rows(start=0, end=3)] == leaves
    assert store.assign(epoch=epoch, limit=9) == []
    stranger = store.log_row_by_index(0)
    assert stranger is not None and stranger.entry is None
    with pytest.raises(StateMoved):
        store.adopt(epoch=epoch, start=0, leaves=leaves, checkpoint="cp", size=3, root=b"r")


def test_a_settled_attempt_is_released_once_its_entry_is_covered(store: SqlStore, world: World) -> None:
    world.submit(cells=3)
    for attempt in world.lease():
        world.finish(attempt, charge_micro=100)
    epoch = lead(store) or 0
    assert len(store.assign(epoch=epoch, limit=9)) == 4
    assert store.release(covered_size=4, now_ms=1, limit=9) == 0  # nothing is published yet
    store.publish(epoch=epoch, size=4, root=b"r", checkpoint="c")
    assert store.release(covered_size=2, now_ms=1, limit=9) == 2  # the enrolment and one result
    assert store.balance("acct_owner") == (0, 0, 200)
    assert store.release(covered_size=9, now_ms=2, limit=1) == 1
    assert store.release(covered_size=9, now_ms=2, limit=9) == 1
    assert store.release(covered_size=9, now_ms=3, limit=9) == 0
    assert store.balance("acct_owner") == (0, 0, 0)


def test_a_late_entry_releases_nothing_twice(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    attempt = world.lease()[0]
    world.finish(attempt, charge_micro=100)
    late = world.entry("late", attempt=attempt.id)
    assert store.record_late(attempt.id, receipt_sha256="c" * 64, now_ms=3, log=late)
    epoch = lead(store) or 0
    assert len(store.assign(epoch=epoch, limit=9)) == 3
    store.publish(epoch=epoch, size=3, root=b"r", checkpoint="c")
    assert store.release(covered_size=3, now_ms=4, limit=9) == 3
    assert store.balance("acct_owner") == (0, 0, 0)


def test_a_cancelled_attempt_gets_one_entry(store: SqlStore, world: World) -> None:
    job_id = world.submit(cells=1).job
    world.lease()
    (attempt,) = store.cancel(job_id, now_ms=50)
    assert [row.id for row in store.unlogged_attempts(limit=9)] == [attempt.id]
    for name in ("cut", "cut by somebody else"):
        store.queue_entry(world.entry(name, attempt=attempt.id, id_=name), now_ms=60)
    assert store.unlogged_attempts(limit=9) == []
    row = store.attempt(attempt.id)
    assert row is not None and row.log_entry == "cut"
    assert store.log_row("cut by somebody else") is None


def test_an_accepted_attempt_keeps_its_entry(store: SqlStore, world: World) -> None:
    world.submit(cells=1)
    attempt = world.lease()[0]
    world.finish(attempt)
    store.queue_entry(world.entry("cut", attempt=attempt.id, id_="cut"), now_ms=60)
    assert store.log_row("cut") is None
    row = store.attempt(attempt.id)
    assert row is not None and row.log_entry == attempt.id


def test_an_entry_too_large_for_the_log_is_refused_at_once(store: SqlStore, world: World) -> None:
    """In the queue it would stop the log for everybody."""
    store.queue_entry(world.entry("x" * 65_535), now_ms=1)
    with pytest.raises(InvalidError) as refused:
        store.queue_entry(world.entry("x" * 65_536), now_ms=1)
    assert refused.value.code == "entry_too_large"
    world.submit(cells=1)
    attempt = world.lease()[0]
    with pytest.raises(InvalidError):
        store.record_lost(
            attempt.id,
            lease_version=attempt.lease_version,
            now_ms=1,
            not_before_ms=1,
            reason="x",
            log=world.entry("x" * 65_536, attempt=attempt.id),
        )
    assert world.state_of(attempt.execution) == "leased"
