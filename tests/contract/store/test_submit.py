"""T1: a job, its cells, its hold and its first events, or nothing."""

import pytest

from hivemark.coordinator.store import SqlStore
from hivemark.errors import ConflictError, PaymentRequiredError, UnsatisfiableError
from hivemark.jobs.lifecycle import JobState

from .world import FAR_MS, GRANT_MICRO, HOLD_MICRO, World


def test_a_submitted_job_has_its_cells_its_hold_and_two_events(store: SqlStore, world: World) -> None:
    submitted = world.submit(cells=3)
    job = store.job(submitted.job)
    assert job is not None and not submitted.replayed
    assert job.state is JobState.ENQUEUED
    assert (job.progress.cells, job.progress.queued) == (3, 3)
    assert (job.held_micro, job.settled_micro) == (3 * HOLD_MICRO, 0)
    assert store.balance(world.account) == (GRANT_MICRO - 3 * HOLD_MICRO, 3 * HOLD_MICRO, 0)
    assert world.event_names(job.id) == ["job_created", "job_enqueued"]
    cells = store.executions(job=job.id, public_only=False, before=None, limit=10)
    assert [cell.ordinal for cell in cells] == [0, 1, 2]


def test_the_same_key_and_body_answer_the_first_job(store: SqlStore, world: World) -> None:
    job = world.new_job(idempotency_key="again")
    assert not store.submit(job).replayed
    again = store.submit(job)
    assert (again.job, again.replayed) == (job.id, True)
    assert len(store.jobs(account=None, public_only=False, before=None, limit=10)) == 1


def test_the_same_key_with_another_body_is_refused(store: SqlStore, world: World) -> None:
    store.submit(world.new_job(idempotency_key="again"))
    with pytest.raises(UnsatisfiableError) as refused:
        store.submit(world.new_job(idempotency_key="again"))
    assert refused.value.code == "idempotency_key_reused"


def test_an_id_is_taken_once_per_signer(store: SqlStore, world: World) -> None:
    world.submit(spec_id="mine")
    with pytest.raises(ConflictError) as refused:
        world.submit(spec_id="mine")
    assert refused.value.code == "job_id_taken"
    world.submit(spec_id="mine", signer="another key")
    assert len(store.jobs_by_spec_id("mine")) == 2


def test_a_nonce_serves_once_until_it_is_too_old_to_matter(store: SqlStore, world: World) -> None:
    world.submit(nonce="once", nonce_until_ms=50)
    with pytest.raises(ConflictError) as refused:
        world.submit(nonce="once")
    assert refused.value.code == "nonce_repeated"
    store.expire_jobs(now_ms=51, limit=10)
    world.submit(nonce="once")


def test_a_job_that_costs_too_much_leaves_nothing_behind(store: SqlStore, world: World) -> None:
    job = world.new_job(cells=GRANT_MICRO // HOLD_MICRO + 1, nonce="not burnt")
    with pytest.raises(PaymentRequiredError) as refused:
        store.submit(job)
    assert refused.value.code == "balance_too_low"
    assert store.job(job.id) is None
    assert store.balance(world.account) == (GRANT_MICRO, 0, 0)
    world.submit(nonce="not burnt")


def test_pages_go_backwards_without_gaps(store: SqlStore, world: World) -> None:
    ids = [world.submit(visibility="public" if n % 2 else "private").job for n in range(5)]
    first = store.jobs(account=world.account, public_only=False, before=None, limit=2)
    second = store.jobs(account=world.account, public_only=False, before=first[-1].id, limit=9)
    assert [job.id for job in (*first, *second)] == ids[::-1]
    public = store.jobs(account=None, public_only=True, before=None, limit=9)
    assert [job.id for job in public] == [ids[3], ids[1]]
    assert store.jobs(account="acct_other", public_only=False, before=None, limit=9) == []


def test_executions_page_within_a_job_and_across_jobs(store: SqlStore, world: World) -> None:
    first = world.submit(cells=3).job
    second = world.submit(cells=2, visibility="private").job
    page = store.executions(job=first, public_only=False, before=None, limit=2)
    rest = store.executions(job=first, public_only=False, before=page[-1].id, limit=2)
    assert [cell.ordinal for cell in (*page, *rest)] == [0, 1, 2]
    newest = store.executions(job=None, public_only=False, before=None, limit=3)
    assert [(cell.job, cell.ordinal) for cell in newest] == [(second, 1), (second, 0), (first, 2)]
    older = store.executions(job=None, public_only=False, before=newest[-1].id, limit=9)
    assert [(cell.job, cell.ordinal) for cell in older] == [(first, 1), (first, 0)]
    public = store.executions(job=None, public_only=True, before=None, limit=9)
    assert {cell.job for cell in public} == {first}


def test_a_job_without_price_needs_no_booking(store: SqlStore, world: World) -> None:
    job = world.new_job(cells=1)
    free = job.executions[0]
    store.submit(world.new_job(executions=(type(free)(*[*_fields(free)[:-1], 0]),), deadline_ms=FAR_MS))
    assert store.balance(world.account) == (GRANT_MICRO, 0, 0)


def _fields(cell: object) -> list[object]:
    return [getattr(cell, name) for name in type(cell).__slots__]
