"""T1, cancelling, the deadline, and what people read about jobs."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, select, tuple_

from hivemark.coordinator.ports import (
    AttemptRow,
    ExecutionRow,
    JobEvent,
    JobRow,
    NewJob,
    StateMoved,
    Submitted,
)
from hivemark.coordinator.store import apikeys, intake, ledger, moves, rows
from hivemark.coordinator.store.database import AnyRow, Database
from hivemark.coordinator.store.tables import (
    accounts,
    attempts,
    executions,
    job_events,
    job_specs,
    jobs,
    nonces,
)
from hivemark.credits import book
from hivemark.errors import NotFoundError
from hivemark.jobs import lifecycle
from hivemark.jobs.lifecycle import (
    FINAL_JOB_STATES,
    JOB_CREATED,
    ExecutionEvent,
    ExecutionState,
    JobState,
    after_execution,
    after_job,
)

_SETTLED: Final = (
    select(func.coalesce(func.sum(attempts.c.charge_micro), 0))
    .select_from(executions.join(attempts, attempts.c.execution == executions.c.id))
    .where(executions.c.job == jobs.c.id)
    .correlate(jobs)
    .scalar_subquery()
)
_HELD: Final = (
    select(accounts.c.balance_micro)
    .where(accounts.c.id == "escrow:" + jobs.c.id)
    .correlate(jobs)
    .scalar_subquery()
)
_JOBS: Final = select(*rows.JOB_HEAD, func.coalesce(_HELD, 0), _SETTLED).select_from(rows.JOB_AND_SPEC)
_EXECUTION: Final = select(*rows.EXECUTION).where(executions.c.id == bindparam("wanted"))
_ATTEMPTS: Final = (
    select(*rows.ATTEMPT).where(attempts.c.execution == bindparam("wanted")).order_by(attempts.c.number)
)
_EVENTS: Final = (
    select(*rows.EVENT)
    .where(job_events.c.job == bindparam("wanted"), job_events.c.seq > bindparam("after"))
    .order_by(job_events.c.seq)
    .limit(bindparam("page"))
)
_OPEN_CELLS: Final = (
    select(executions.c.id, executions.c.ordinal, executions.c.state, executions.c.hold_micro)
    .where(executions.c.job == bindparam("wanted"), executions.c.finished_ms.is_(None))
    .order_by(executions.c.ordinal)
)
_END_CELLS: Final = (
    executions.update()
    .where(executions.c.id == bindparam("wanted"), executions.c.finished_ms.is_(None))
    .values(
        state=bindparam("state_after"),
        version=executions.c.version + 1,
        finished_ms=bindparam("at_ms"),
        failure=bindparam("failure_after"),
    )
)
_OPEN_ATTEMPTS_OF_JOB: Final = (
    select(attempts.c.id)
    .select_from(executions.join(attempts, attempts.c.id == executions.c.attempt))
    .where(
        executions.c.job == bindparam("wanted"),
        executions.c.finished_ms.is_(None),
        attempts.c.outcome.is_(None),
    )
)
_CANCEL_ATTEMPTS: Final = (
    attempts.update()
    .where(attempts.c.id.in_(bindparam("wanted", expanding=True)))
    .values(outcome="cancelled", finished_ms=bindparam("at_ms"))
)
_ATTEMPTS_BY_ID: Final = (
    select(*rows.ATTEMPT)
    .where(attempts.c.id.in_(bindparam("wanted", expanding=True)))
    .order_by(attempts.c.id)
)
_OVERDUE: Final = (
    select(jobs.c.id)
    .where(
        jobs.c.finished_ms.is_(None),
        jobs.c.deadline_ms <= bindparam("at_ms"),
        select(executions.c.id)
        .where(executions.c.job == jobs.c.id, executions.c.state == ExecutionState.QUEUED.value)
        .exists(),
    )
    .order_by(jobs.c.deadline_ms)
    .limit(bindparam("page"))
)
_ORPHANS: Final = (
    select(*rows.EXECUTION)
    .join(jobs, jobs.c.id == executions.c.job)
    .where(
        jobs.c.finished_ms.is_(None),
        jobs.c.held_by.is_not(None),
        jobs.c.held_by != bindparam("mine"),
        executions.c.finished_ms.is_(None),
    )
    .limit(bindparam("page"))
)
_DEADLINE_FAILURE: Final = rows.json_text(
    {
        "stage": "queue",
        "code": "deadline_passed",
        "message": "the job's time was over before this could run",
        "transient": False,
    }
)


class SqlJobs:
    """`ports.JobStore`."""

    _db: Database

    def submit(self, job: NewJob) -> Submitted:
        return self._db.write(partial(_submit, job))

    def job(self, job_id: str) -> JobRow | None:
        found = self._read_jobs(_JOBS.where(jobs.c.id == job_id))
        return found[0] if found else None

    def jobs_by_spec_id(self, spec_id: str) -> Sequence[JobRow]:
        return self._read_jobs(_JOBS.where(jobs.c.spec_id == spec_id).order_by(jobs.c.id.desc()))

    def jobs(
        self, *, account: str | None, public_only: bool, before: str | None, limit: int
    ) -> Sequence[JobRow]:
        wanted = _JOBS.order_by(jobs.c.id.desc()).limit(limit)
        if account is not None:
            wanted = wanted.where(jobs.c.account == account)
        if public_only:
            wanted = wanted.where(jobs.c.visibility == "public")
        if before is not None:
            wanted = wanted.where(jobs.c.id < before)
        return self._read_jobs(wanted)

    def execution(self, execution_id: str) -> ExecutionRow | None:
        row = self._db.read(lambda c: c.execute(_EXECUTION, {"wanted": execution_id}).one_or_none())
        return rows.execution_row(row) if row is not None else None

    def executions(
        self, *, job: str | None, public_only: bool, before: str | None, limit: int
    ) -> Sequence[ExecutionRow]:
        wanted = select(*rows.EXECUTION).limit(limit)
        if public_only:
            wanted = wanted.join(jobs, jobs.c.id == executions.c.job).where(jobs.c.visibility == "public")
        cursor = executions.alias("cursor")
        position = select(cursor.c.job, cursor.c.ordinal).where(cursor.c.id == before)
        if job is not None:
            wanted = wanted.where(executions.c.job == job).order_by(executions.c.ordinal)
            after = executions.c.ordinal > position.with_only_columns(cursor.c.ordinal).scalar_subquery()
        else:
            wanted = wanted.order_by(executions.c.job.desc(), executions.c.ordinal.desc())
            after = tuple_(executions.c.job, executions.c.ordinal) < position.scalar_subquery()
        if before is not None:
            wanted = wanted.where(after)
        return [rows.execution_row(row) for row in self._db.read(lambda c: c.execute(wanted).all())]

    def attempts(self, execution_id: str) -> Sequence[AttemptRow]:
        found = self._db.read(lambda c: c.execute(_ATTEMPTS, {"wanted": execution_id}).all())
        return [rows.attempt_row(row) for row in found]

    def events_after(self, job_id: str, *, seq: int, limit: int) -> Sequence[JobEvent]:
        values = {"wanted": job_id, "after": seq, "page": limit}
        return [rows.job_event(row) for row in self._db.read(lambda c: c.execute(_EVENTS, values).all())]

    def cancel(self, job_id: str, *, now_ms: int) -> Sequence[AttemptRow]:
        return self._db.write(partial(_cancel, job_id, now_ms))

    def orphaned_calls(self, *, held_by: str, limit: int) -> Sequence[ExecutionRow]:
        values = {"mine": held_by, "page": limit}
        found = self._db.read(lambda c: c.execute(_ORPHANS, values).all())
        return [rows.execution_row(row) for row in found]

    def expire_jobs(self, *, now_ms: int, limit: int) -> int:
        self._db.write(
            lambda connection: connection.execute(nonces.delete().where(nonces.c.until_ms < now_ms)).rowcount
        )
        values = {"at_ms": now_ms, "page": limit}
        overdue = self._db.read(lambda c: c.execute(_OVERDUE, values).scalars().all())
        for job_id in overdue:
            self._db.write(partial(_expire, job_id, now_ms))
        return len(overdue)

    def _read_jobs(self, wanted: Select[Any]) -> Sequence[JobRow]:
        def operation(connection: Connection) -> Sequence[JobRow]:
            found = connection.execute(wanted).all()
            progress = moves.progress_of(connection, [row[0] for row in found])
            return [rows.job_row(row, progress[row[0]]) for row in found]

        return self._db.read(operation)


def _submit(job: NewJob, connection: Connection) -> Submitted:
    replayed = intake.replayed(
        connection, signer=job.signer, idempotency_key=job.idempotency_key, body_sha256=job.body_sha256
    )
    if replayed is not None:
        return Submitted(replayed, replayed=True)
    if job.held_by is None:  # the service draws id and nonce of a call itself, and takes no posted one
        intake.require_unused(connection, signer=job.signer, spec_id=job.spec_id, nonce=job.nonce)
        connection.execute(
            nonces.insert(), {"signer": job.signer, "nonce": job.nonce, "until_ms": job.nonce_until_ms}
        )
    _insert_job(connection, job)
    hold_micro = sum(cell.hold_micro for cell in job.executions)
    if job.api_key is not None:
        apikeys.spend(connection, job.api_key, hold_micro, now_ms=job.created_ms)
    if hold_micro:
        escrow = book.escrow_account(job.id)
        ledger.post(
            connection,
            (job.account, escrow),
            lambda known: book.hold(
                known,
                job.account,
                job.id,
                hold_micro,
                key=f"hold:{job.id}",
                authority=job.spec_sha256,
                tick_ms=job.created_ms,
            ),
        )
    return Submitted(job.id, replayed=False)


_JOB_FIELDS: Final = (
    "id",
    "account",
    "signer",
    "spec_id",
    "spec_sha256",
    "idempotency_key",
    "body_sha256",
    "benchmark",
    "visibility",
    "requester",
    "min_success_rate",
    "min_regions",
    "created_ms",
    "deadline_ms",
    "api_key",
    "held_by",
)
_CELL_FIELDS: Final = (
    "id",
    "question",
    "persona",
    "model",
    "region_index",
    "arm",
    "repeat",
    "replica",
    "model_name",
    "weights_sha256",
    "region",
    "hold_micro",
)


def _insert_job(connection: Connection, job: NewJob) -> None:
    """Job, its first two events, all its cells."""
    enqueued = after_job(JobState.CREATED, lifecycle.JobEvent.ENQUEUED)
    row = {name: getattr(job, name) for name in _JOB_FIELDS}
    row |= {"state": enqueued.value, "version": 1, "event_seq": 2, "started_ms": None, "finished_ms": None}
    connection.execute(jobs.insert(), row)
    spec = {"job": job.id, "raw": job.spec_raw, "message": job.spec_message}
    connection.execute(job_specs.insert(), spec)
    at = {"job": job.id, "at_ms": job.created_ms}
    created = rows.json_text({"state": JobState.CREATED.value})
    waiting = rows.json_text({"state": enqueued.value, "cells": len(job.executions)})
    connection.execute(
        job_events.insert(),
        [
            at | {"seq": 1, "name": JOB_CREATED, "body": created},
            at | {"seq": 2, "name": lifecycle.JobEvent.ENQUEUED.value, "body": waiting},
        ],
    )
    common = {
        "job": job.id,
        "state": ExecutionState.QUEUED.value,
        "version": 1,
        "lease_version": None,
        "attempts": 0,
        "not_before_ms": job.created_ms,
        "queued_ms": job.created_ms,
        "finished_ms": None,
        "attempt": None,
        "failure": None,
    }
    connection.execute(
        executions.insert(),
        [
            {name: getattr(cell, name) for name in _CELL_FIELDS} | common | {"ordinal": ordinal}
            for ordinal, cell in enumerate(job.executions)
        ],
    )


def _cancel(job_id: str, now_ms: int, connection: Connection) -> Sequence[AttemptRow]:
    job = moves.lock_job(connection, job_id)
    if job is None:
        raise NotFoundError(f"no job {job_id}", code="unknown_job")
    if job.state in FINAL_JOB_STATES:
        return []
    held = list(connection.execute(_OPEN_ATTEMPTS_OF_JOB, {"wanted": job_id}).scalars())
    cells = connection.execute(_OPEN_CELLS, {"wanted": job_id}).all()
    if held:
        connection.execute(_CANCEL_ATTEMPTS, {"wanted": held, "at_ms": now_ms})
    _end_cells(connection, job, cells, ExecutionEvent.CANCELLED, now_ms=now_ms, failure=None)
    job.move(lifecycle.JobEvent.CANCELLED, now_ms)
    moves.save_jobs(connection, [job])
    _void(connection, job, cells, now_ms=now_ms)
    return [rows.attempt_row(row) for row in connection.execute(_ATTEMPTS_BY_ID, {"wanted": held})]


def _expire(job_id: str, now_ms: int, connection: Connection) -> None:
    job = moves.lock_job(connection, job_id)
    if job is None or job.state in FINAL_JOB_STATES:
        return
    cells = connection.execute(_OPEN_CELLS, {"wanted": job_id}).all()
    queued = [cell for cell in cells if cell.state == ExecutionState.QUEUED.value]
    event = ExecutionEvent.DEADLINE_PASSED
    _end_cells(connection, job, queued, event, now_ms=now_ms, failure=_DEADLINE_FAILURE)
    moves.finish_if_done(connection, job, now_ms=now_ms)
    moves.save_jobs(connection, [job])
    _void(connection, job, queued, now_ms=now_ms)


def _end_cells(
    connection: Connection,
    job: moves.LockedJob,
    cells: Sequence[AnyRow],
    event: ExecutionEvent,
    *,
    now_ms: int,
    failure: str | None,
) -> None:
    """Move cells of a locked job to the final state of `event`."""
    ended = []
    for cell in cells:
        after = after_execution(ExecutionState(cell.state), event)
        body = {"execution": cell.id, "ordinal": cell.ordinal, "state": after.value}
        job.note(event.value, now_ms, rows.json_text(body))
        ended.append(
            {"wanted": cell.id, "state_after": after.value, "at_ms": now_ms, "failure_after": failure}
        )
    if ended and connection.execute(_END_CELLS, ended).rowcount != len(ended):
        raise StateMoved(f"a cell of {job.id} moved on under the job's lock", code="execution_moved")


def _void(connection: Connection, job: moves.LockedJob, cells: Sequence[AnyRow], *, now_ms: int) -> None:
    """Give back what was held for cells that ended without a result."""
    amount_micro = sum(cell.hold_micro for cell in cells)
    apikeys.give_back(connection, job.api_key, amount_micro)
    if amount_micro:
        key = f"void:{job.id}:{job.event_seq}"  # the sequence before this transaction: once per move
        ledger.post(
            connection,
            (job.account, book.escrow_account(job.id)),
            lambda known: book.void(
                known, job.account, job.id, amount_micro, key=key, authority="service", tick_ms=now_ms
            ),
        )
