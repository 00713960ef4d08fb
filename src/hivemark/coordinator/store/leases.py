"""T2 and the life of a lease."""

from collections.abc import Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, literal_column, or_, select

from hivemark.coordinator.ports import AttemptRow, JobHead, LeaseCandidate, NewLease, StateMoved
from hivemark.coordinator.store import moves, rows
from hivemark.coordinator.store.database import AnyRow, Database
from hivemark.coordinator.store.hives import epoch_stale, load_hive
from hivemark.coordinator.store.tables import attempts, executions, hives, jobs
from hivemark.jobs.lifecycle import ExecutionEvent, ExecutionState, JobEvent, JobState, after_execution

CANDIDATE_JOBS_MAX: Final = 8
"""How many jobs one answer of `candidates` draws from."""

_RUNNABLE: Final = and_(
    executions.c.job == jobs.c.id,
    executions.c.state == literal_column("'queued'"),  # as the partial index says it
    executions.c.not_before_ms <= bindparam("at_ms"),
    or_(executions.c.region.is_(None), executions.c.region == bindparam("in_region")),
    or_(
        executions.c.model_name.is_(None),
        executions.c.weights_sha256.in_(bindparam("digests", expanding=True)),
        and_(
            executions.c.weights_sha256.is_(None),
            executions.c.model_name.in_(bindparam("names", expanding=True)),
        ),
    ),
)
_JOBS: Final = (
    select(*rows.JOB_HEAD)
    .select_from(rows.JOB_AND_SPEC)
    .where(
        jobs.c.finished_ms.is_(None),
        jobs.c.deadline_ms > bindparam("at_ms"),
        select(executions.c.id).where(_RUNNABLE).correlate(jobs).exists(),
    )
    .order_by(jobs.c.held_by.is_(None), jobs.c.created_ms, jobs.c.id)  # a client waits for a call
    .limit(CANDIDATE_JOBS_MAX)
)
_CELLS: Final = (
    select(*rows.EXECUTION)
    .join(jobs, jobs.c.id == executions.c.job)
    .where(jobs.c.id == bindparam("of_job"), _RUNNABLE)
    .order_by(executions.c.ordinal)
    .limit(bindparam("page"))
)
_EPOCH: Final = select(hives.c.epoch).where(
    hives.c.id == bindparam("wanted"), hives.c.status == literal_column("'active'")
)
_LOCK_JOBS: Final = (
    select(*moves.JOB_LOCKED)
    .where(
        jobs.c.id.in_(
            select(executions.c.job).where(executions.c.id.in_(bindparam("wanted", expanding=True)))
        ),
        jobs.c.finished_ms.is_(None),
    )
    .order_by(jobs.c.id)
    .with_for_update()
)
_EXECUTIONS: Final = (
    select(
        executions.c.id.label("execution"),
        executions.c.job,
        executions.c.ordinal,
        executions.c.question,
        executions.c.model_name,
        executions.c.region,
        executions.c.state,
        executions.c.version,
        executions.c.attempts,
        executions.c.queued_ms,
    )
    .where(executions.c.id.in_(bindparam("wanted", expanding=True)))
    .with_for_update()
)
_LEASE: Final = (
    executions.update()
    .where(executions.c.id == bindparam("wanted"), executions.c.version == bindparam("version_before"))
    .values(
        state=bindparam("state_after"),
        version=executions.c.version + 1,
        lease_version=executions.c.version + 1,
        attempts=executions.c.attempts + 1,
        attempt=bindparam("attempt_after"),
    )
)
_ADD_ATTEMPTS: Final = attempts.insert()
_ATTEMPTS_BY_ID: Final = select(*rows.ATTEMPT).where(attempts.c.id.in_(bindparam("wanted", expanding=True)))
_STARTED: Final = (
    attempts.update()
    .where(attempts.c.id == bindparam("wanted"), attempts.c.outcome.is_(None))
    .values(started_ms=bindparam("at_ms"))
)
_OPEN_OF_HIVE: Final = (
    select(*rows.ATTEMPT)
    .where(attempts.c.hive == bindparam("of_hive"), attempts.c.outcome.is_(None))
    .order_by(attempts.c.id)
)
_RENEWABLE: Final = (
    select(attempts.c.id, attempts.c.lease_version)
    .join(jobs, jobs.c.id == attempts.c.job)
    .where(
        attempts.c.hive == bindparam("of_hive"),
        attempts.c.outcome.is_(None),
        # A lease that reaches past the job's deadline is not extended: the attempt ends, one way or another.
        jobs.c.deadline_ms > attempts.c.lease_until_ms,
    )
)
_RENEW: Final = (
    attempts.update()
    .where(attempts.c.id.in_(bindparam("wanted", expanding=True)), attempts.c.outcome.is_(None))
    .values(lease_until_ms=bindparam("until_ms"))
    .returning(attempts.c.id)
)
_EXPIRED: Final = (
    select(*rows.ATTEMPT)
    .where(attempts.c.outcome.is_(None), attempts.c.lease_until_ms <= bindparam("at_ms"))
    .order_by(attempts.c.lease_until_ms, attempts.c.id)
    .limit(bindparam("page"))
)
_ATTEMPT: Final = select(*rows.ATTEMPT).where(attempts.c.id == bindparam("wanted"))


class SqlLeases:
    """`ports.LeaseStore`."""

    _db: Database

    def candidates(self, hive: str, *, now_ms: int, limit: int) -> Sequence[LeaseCandidate]:
        return self._db.read(partial(_candidates, hive, now_ms, limit))

    def lease(self, leases: Sequence[NewLease], *, now_ms: int) -> Sequence[AttemptRow]:
        return self._db.write(partial(_lease, leases, now_ms)) if leases else []

    def start(self, attempt: str, *, lease_version: int, now_ms: int) -> bool:
        return self._db.write(partial(_start, attempt, lease_version, now_ms), durable=False)

    def renew(
        self, hive: str, *, epoch: int, held: Sequence[tuple[str, int]], lease_until_ms: int
    ) -> Sequence[str]:
        def operation(connection: Connection) -> Sequence[str]:
            _require_epoch(connection, hive, epoch)
            standing = connection.execute(_RENEWABLE, {"of_hive": hive}).all()
            wanted = [row.id for row in standing if (row.id, row.lease_version) in named]
            if not wanted:
                return []
            values = {"wanted": wanted, "until_ms": lease_until_ms}
            return list(connection.execute(_RENEW, values).scalars())

        named = set(held)
        return self._db.write(operation, durable=False)

    def open_attempts(self, hive: str) -> Sequence[AttemptRow]:
        return self._read_attempts(_OPEN_OF_HIVE, {"of_hive": hive})

    def expired_attempts(self, *, now_ms: int, limit: int) -> Sequence[AttemptRow]:
        return self._read_attempts(_EXPIRED, {"at_ms": now_ms, "page": limit})

    def attempt(self, attempt_id: str) -> AttemptRow | None:
        found = self._read_attempts(_ATTEMPT, {"wanted": attempt_id})
        return found[0] if found else None

    def _read_attempts(self, statement: Select[Any], values: dict[str, object]) -> Sequence[AttemptRow]:
        return [rows.attempt_row(row) for row in self._db.read(lambda c: c.execute(statement, values).all())]


def _candidates(hive_id: str, now_ms: int, limit: int, connection: Connection) -> Sequence[LeaseCandidate]:
    hive = load_hive(connection, hive_id)
    if hive is None or hive.status != "active" or hive.draining:
        return []
    offer = {
        "at_ms": now_ms,
        "in_region": hive.region,
        "digests": [model.weights_sha256 for model in hive.models if model.weights_sha256],
        "names": [model.name for model in hive.models],
    }
    heads = [rows.job_head(row) for row in connection.execute(_JOBS, offer)]
    by_job = [_cells(connection, head, {**offer, "page": limit}) for head in heads]
    fair = chain.from_iterable(zip_longest(*by_job))
    return [candidate for candidate in fair if candidate is not None][:limit]


def _cells(connection: Connection, job: JobHead, offer: dict[str, object]) -> list[LeaseCandidate]:
    found = connection.execute(_CELLS, {**offer, "of_job": job.id})
    return [LeaseCandidate(rows.execution_row(row), job) for row in found]


def _lease(leases: Sequence[NewLease], now_ms: int, connection: Connection) -> Sequence[AttemptRow]:
    for hive, epoch in {(lease.hive, lease.epoch) for lease in leases}:
        _require_epoch(connection, hive, epoch)
    wanted = {"wanted": [lease.execution for lease in leases]}
    locked = {row.job: moves.locked_job(row) for row in connection.execute(_LOCK_JOBS, wanted)}
    queued = {row.execution: row for row in connection.execute(_EXECUTIONS, wanted)}
    won: list[tuple[NewLease, AnyRow]] = []
    for lease in leases:
        row = queued.pop(lease.execution, None)  # named twice: leased once
        if row is not None and row.job in locked and _is_as_seen(row, lease):
            won.append((lease, row))
    if not won:
        return []
    _write_leases(connection, won, now_ms=now_ms)
    for lease, row in won:
        _note_lease(locked[row.job], lease, row, now_ms=now_ms)
    moves.save_jobs(connection, locked.values())
    ids = {"wanted": [lease.attempt for lease, _ in won]}
    attempts_by_id = {row.id: rows.attempt_row(row) for row in connection.execute(_ATTEMPTS_BY_ID, ids)}
    return [attempts_by_id[lease.attempt] for lease, _ in won]


def _is_as_seen(row: AnyRow, lease: NewLease) -> bool:
    return bool(row.state == ExecutionState.QUEUED.value and row.version == lease.execution_version)


def _write_leases(connection: Connection, won: Sequence[tuple[NewLease, AnyRow]], *, now_ms: int) -> None:
    leased = after_execution(ExecutionState.QUEUED, ExecutionEvent.LEASE_GRANTED)
    moved = connection.execute(
        _LEASE,
        [
            {
                "wanted": row.execution,
                "version_before": row.version,
                "state_after": leased.value,
                "attempt_after": lease.attempt,
            }
            for lease, row in won
        ],
    )
    if moved.rowcount != len(won):
        raise StateMoved("a cell moved on under its lock", code="execution_moved")
    connection.execute(_ADD_ATTEMPTS, [_new_attempt(lease, row, now_ms=now_ms) for lease, row in won])


def _new_attempt(lease: NewLease, row: AnyRow, *, now_ms: int) -> dict[str, object]:
    return {
        "id": lease.attempt,
        "execution": row.execution,
        "job": row.job,
        "number": row.attempts + 1,
        "hive": lease.hive,
        "epoch": lease.epoch,
        "lease_version": row.version + 1,
        "lease_until_ms": lease.lease_until_ms,
        "leased_ms": now_ms,
        "queued_ms": row.queued_ms,
        "grant_sha256": lease.grant_sha256,
        "charge_micro": 0,
    }


def _note_lease(job: moves.LockedJob, lease: NewLease, row: AnyRow, *, now_ms: int) -> None:
    if job.state is JobState.ENQUEUED:
        job.move(JobEvent.STARTED, now_ms)
    body = moves.event_body(
        row, ExecutionState.LEASED, attempt=lease.attempt, number=row.attempts + 1, hive=lease.hive
    )
    job.note(ExecutionEvent.LEASE_GRANTED.value, now_ms, body)


def _start(attempt: str, lease_version: int, now_ms: int, connection: Connection) -> bool:
    turn = moves.lock_turn(connection, attempt)
    if turn is None or not moves.is_open(turn, lease_version) or turn.started_ms is not None:
        return False
    moves.mark_running(connection, turn)
    connection.execute(_STARTED, {"wanted": attempt, "at_ms": now_ms})
    job = moves.locked_job(turn)
    body = moves.event_body(turn, ExecutionState.RUNNING, **moves.attempt_facts(turn))
    job.note(ExecutionEvent.STARTED.value, now_ms, body)
    moves.save_jobs(connection, [job])
    return True


def _require_epoch(connection: Connection, hive: str, epoch: int) -> None:
    if connection.execute(_EPOCH, {"wanted": hive}).scalar_one_or_none() != epoch:
        raise epoch_stale(hive)
