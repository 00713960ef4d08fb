"""Looks before a submission, many rows at once, and how much there is."""

import pytest

from hivemark.coordinator.store import SqlStore
from hivemark.errors import ConflictError, InvalidError, UnsatisfiableError
from hivemark.jobs.lifecycle import ExecutionState, JobState

from .world import World


def test_looking_before_submitting_says_what_submitting_would(store: SqlStore, world: World) -> None:
    job = world.new_job(idempotency_key="key")
    asked = {"signer": job.signer, "idempotency_key": "key"}
    assert store.replayed(body_sha256=job.body_sha256, **asked) is None
    store.require_unused(signer=job.signer, spec_id=job.spec_id, nonce=job.nonce)
    store.submit(job)
    assert store.replayed(body_sha256=job.body_sha256, **asked) == job.id
    with pytest.raises(UnsatisfiableError):
        store.replayed(body_sha256="other", **asked)
    for spec_id, nonce, code in (
        (job.spec_id, job.nonce, "job_id_taken"),
        ("fresh", job.nonce, "nonce_repeated"),
    ):
        with pytest.raises(ConflictError) as refused:
            store.require_unused(signer=job.signer, spec_id=spec_id, nonce=nonce)
        assert refused.value.code == code
    store.require_unused(signer="another key", spec_id=job.spec_id, nonce=job.nonce)


def test_many_rows_are_read_at_once(store: SqlStore, world: World) -> None:
    world.submit(cells=3)
    leased = world.lease()
    for attempt in leased[:2]:
        world.finish(attempt)
    ids = [attempt.id for attempt in leased]
    assert {attempt.id for attempt in store.attempts_of([*ids, "att_none"])} == set(ids)
    assert {row.id for row in store.log_rows_of(ids)} == set(ids[:2])
    assert store.attempts_of([]) == [] and store.log_rows_of([]) == []


def test_counts_are_what_is_stored(store: SqlStore, world: World) -> None:
    assert store.counts().jobs == {}
    world.submit(cells=3)
    world.submit(cells=1)
    for attempt in world.lease(limit=2)[:1]:
        world.finish(attempt)
    counts = store.counts()
    assert sum(counts.jobs.values()) == 2 and JobState.EXECUTING in counts.jobs
    assert counts.executions[ExecutionState.COMPLETED] == 1
    assert sum(counts.executions.values()) == 4
    assert counts.log_queue == 2  # the world's hive, and the result
    store.assign(epoch=store.lead(holder="x", now_ms=1, lease_ms=9) or 0, limit=9)
    assert store.counts().log_queue == 0


def test_a_name_that_no_column_can_hold_is_nobodys_or_refused(store: SqlStore) -> None:
    """PostgreSQL has no text with a zero byte; whoever asks for one is wrong, the database is not down."""
    try:
        found = store.job("job_\0")
    except InvalidError as error:
        assert error.code == "value_not_storable"
    else:
        assert found is None
