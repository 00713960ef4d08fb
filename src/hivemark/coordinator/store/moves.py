"""Moves of executions and jobs: each is a compare-and-set on the version and one row in the job's stream.

Lock order, so that nothing deadlocks: the job row, then its executions and attempts, its API key, the book's
head last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from hivemark.coordinator.ports import Progress, StateMoved
from hivemark.coordinator.store import rows
from hivemark.coordinator.store.database import AnyRow
from hivemark.coordinator.store.tables import attempts, executions, job_events, jobs
from hivemark.errors import NotFoundError
from hivemark.jobs.completion import final_event
from hivemark.jobs.lifecycle import (
    FINAL_EXECUTION_STATES,
    FINAL_JOB_STATES,
    ExecutionEvent,
    ExecutionState,
    JobEvent,
    JobState,
    after_execution,
    after_job,
)

JOB_LOCKED: Final = (
    jobs.c.id.label("job"),
    jobs.c.account,
    jobs.c.state.label("job_state"),
    jobs.c.event_seq,
    jobs.c.started_ms.label("job_started_ms"),
    jobs.c.min_success_rate,
    jobs.c.min_regions,
    jobs.c.api_key,
)
_LOCK: Final = select(*JOB_LOCKED).where(jobs.c.id == bindparam("wanted")).with_for_update()
_SAVE: Final = (
    jobs.update()
    .where(jobs.c.id == bindparam("wanted"), jobs.c.event_seq == bindparam("seq_before"))
    .values(
        version=jobs.c.version + 1,
        event_seq=bindparam("seq_after"),
        state=bindparam("state_after"),
        started_ms=bindparam("started_after_ms"),
        finished_ms=bindparam("finished_after_ms"),
    )
)
_ADD_EVENTS: Final = job_events.insert()
_HAS_OPEN_CELL: Final = (
    select(executions.c.id)
    .where(executions.c.job == bindparam("wanted"), executions.c.finished_ms.is_(None))
    .limit(1)
)
_COUNTS: Final = (
    select(executions.c.job, executions.c.state, func.count())
    .where(executions.c.job.in_(bindparam("wanted", expanding=True)))
    .group_by(executions.c.job, executions.c.state)
)
_REGIONS: Final = (
    select(executions.c.job, func.count(executions.c.region_index.distinct()).label("regions"))
    .where(
        executions.c.job.in_(bindparam("wanted", expanding=True)),
        executions.c.state == ExecutionState.COMPLETED.value,
    )
    .group_by(executions.c.job)
)

TURN: Final = (
    select(
        *JOB_LOCKED,
        executions.c.id.label("execution"),
        executions.c.ordinal,
        executions.c.question,
        executions.c.model_name,
        executions.c.region,
        executions.c.state,
        executions.c.version,
        executions.c.lease_version.label("current_lease_version"),
        executions.c.attempts.label("attempts"),
        executions.c.hold_micro,
        executions.c.attempt.label("current_attempt"),
        attempts.c.id.label("attempt"),
        attempts.c.number,
        attempts.c.hive,
        attempts.c.lease_version,
        attempts.c.outcome,
        attempts.c.receipt_sha256,
        attempts.c.late_receipt_sha256,
        attempts.c.log_entry,
        attempts.c.started_ms,
    )
    .select_from(
        jobs.join(executions, executions.c.job == jobs.c.id).join(
            attempts, attempts.c.execution == executions.c.id
        )
    )
    .where(attempts.c.id == bindparam("wanted"))
    .with_for_update()
)
_MOVE: Final = (
    executions.update()
    .where(executions.c.id == bindparam("wanted"), executions.c.version == bindparam("version_before"))
    .values(
        state=bindparam("state_after"),
        version=executions.c.version + 1,
        lease_version=bindparam("lease_version_after"),
        not_before_ms=bindparam("not_before_after_ms"),
        queued_ms=func.coalesce(bindparam("queued_after_ms"), executions.c.queued_ms),
        finished_ms=bindparam("finished_after_ms"),
        failure=bindparam("failure_after"),
    )
)
_MARK_RUNNING: Final = (
    executions.update()
    .where(executions.c.id == bindparam("wanted"), executions.c.version == bindparam("version_before"))
    .values(state=bindparam("state_after"), version=executions.c.version + 1)
)


@dataclass(slots=True)
class LockedJob:
    """A job whose row this transaction holds; what is noted on it is written by `save_jobs`."""

    id: str
    account: str
    state: JobState
    event_seq: int
    started_ms: int | None
    min_success_rate: float
    min_regions: int
    api_key: str | None
    finished_ms: int | None = None
    events: list[dict[str, object]] = field(default_factory=list)

    def note(self, name: str, at_ms: int, body: str) -> None:
        seq = self.event_seq + len(self.events) + 1
        self.events.append({"job": self.id, "seq": seq, "at_ms": at_ms, "name": name, "body": body})

    def move(self, event: JobEvent, at_ms: int, counts: dict[str, int] | None = None) -> None:
        self.state = after_job(self.state, event)
        if event is JobEvent.STARTED:
            self.started_ms = at_ms
        if self.state in FINAL_JOB_STATES:
            self.finished_ms = at_ms
        self.note(event.value, at_ms, rows.json_text({"state": self.state.value, **(counts or {})}))


def locked_job(row: AnyRow) -> LockedJob:
    return LockedJob(
        row.job,
        row.account,
        JobState(row.job_state),
        row.event_seq,
        row.job_started_ms,
        row.min_success_rate,
        row.min_regions,
        row.api_key,
    )


def lock_job(connection: Connection, job: str) -> LockedJob | None:
    row = connection.execute(_LOCK, {"wanted": job}).one_or_none()
    return locked_job(row) if row is not None else None


def lock_turn(connection: Connection, attempt: str) -> AnyRow | None:
    """The attempt with its execution and job, all three rows locked."""
    return connection.execute(TURN, {"wanted": attempt}).one_or_none()


def require_turn(connection: Connection, attempt: str) -> AnyRow:
    turn = lock_turn(connection, attempt)
    if turn is None:
        raise NotFoundError(f"no attempt {attempt}", code="unknown_attempt")
    return turn


def is_open(turn: AnyRow, lease_version: int) -> bool:
    """Whether the attempt stands, under this lease version."""
    current = (turn.outcome, turn.current_attempt, turn.current_lease_version)
    return bool(turn.lease_version == lease_version and current == (None, turn.attempt, lease_version))


def require_open(connection: Connection, attempt: str, lease_version: int) -> AnyRow:
    """The attempt's locked turn; `StateMoved` unless it stands under this lease version."""
    turn = require_turn(connection, attempt)
    if not is_open(turn, lease_version):
        raise StateMoved(f"the lease of attempt {attempt} has moved", code="lease_moved")
    return turn


def mark_running(connection: Connection, turn: AnyRow) -> None:
    after = after_execution(ExecutionState(turn.state), ExecutionEvent.STARTED)
    moved = connection.execute(
        _MARK_RUNNING,
        {"wanted": turn.execution, "version_before": turn.version, "state_after": after.value},
    )
    _require_one(moved.rowcount, turn)


def move_execution(
    connection: Connection,
    turn: AnyRow,
    event: ExecutionEvent,
    *,
    now_ms: int,
    not_before_ms: int,
    failure: str | None,
) -> ExecutionState:
    """End the execution's current attempt with `event`; the state it is in then."""
    after = after_execution(ExecutionState(turn.state), event)
    final = after in FINAL_EXECUTION_STATES
    moved = connection.execute(
        _MOVE,
        {
            "wanted": turn.execution,
            "version_before": turn.version,
            "state_after": after.value,
            "lease_version_after": turn.lease_version if final else None,
            "not_before_after_ms": not_before_ms,
            "queued_after_ms": None if final else now_ms,
            "finished_after_ms": now_ms if final else None,
            "failure_after": failure,
        },
    )
    _require_one(moved.rowcount, turn)
    return after


def event_body(turn: AnyRow, state: ExecutionState, **more: object) -> str:
    """What a job's stream says of one execution's move."""
    return rows.json_text(
        {
            "execution": turn.execution,
            "ordinal": turn.ordinal,
            "question": turn.question,
            "model": turn.model_name,
            "region": turn.region,
            "state": state.value,
            **more,
        }
    )


def attempt_facts(turn: AnyRow) -> dict[str, object]:
    return {"attempt": turn.attempt, "number": turn.number, "hive": turn.hive}


def save_jobs(connection: Connection, locked: Iterable[LockedJob]) -> None:
    """Write the jobs' rows and what was noted on them."""
    noted = [job for job in locked if job.events]
    if not noted:
        return
    saved = connection.execute(
        _SAVE,
        [
            {
                "wanted": job.id,
                "seq_before": job.event_seq,
                "seq_after": job.event_seq + len(job.events),
                "state_after": job.state.value,
                "started_after_ms": job.started_ms,
                "finished_after_ms": job.finished_ms,
            }
            for job in noted
        ],
    )
    if saved.rowcount != len(noted):
        raise StateMoved("a job has moved on under its lock", code="job_moved")
    connection.execute(_ADD_EVENTS, [event for job in noted for event in job.events])


def finish_if_done(connection: Connection, job: LockedJob, *, now_ms: int) -> None:
    """Move the job to its final state if its last cell has become final."""
    if connection.execute(_HAS_OPEN_CELL, {"wanted": job.id}).first() is not None:
        return
    states, regions_completed = _counted(connection, [job.id])
    cells = states[job.id]
    event = final_event(
        cells,
        regions_completed=regions_completed.get(job.id, 0),
        min_success_rate=job.min_success_rate,
        min_regions=job.min_regions,
        cancelled=set(cells) == {ExecutionState.CANCELLED},  # a call that its client called off
    )
    assert event is not None, "no cell is open, so the job is done"
    counts = {"cells": sum(cells.values()), "completed": cells.get(ExecutionState.COMPLETED, 0)}
    job.move(event, now_ms, counts)


def progress_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, Progress]:
    """Counted from the cells, never kept."""
    states, regions = _counted(connection, job_ids)
    return {
        job: Progress(
            cells=sum(cells.values()),
            regions_completed=regions.get(job, 0),
            **{state.value: cells.get(state, 0) for state in ExecutionState},
        )
        for job, cells in states.items()
    }


def _counted(
    connection: Connection, job_ids: Sequence[str]
) -> tuple[dict[str, dict[ExecutionState, int]], dict[str, int]]:
    """Per job: cells by state, and regions with a success."""
    wanted = {"wanted": list(job_ids)}
    states: dict[str, dict[ExecutionState, int]] = {job: {} for job in job_ids}
    for job, state, count in connection.execute(_COUNTS, wanted):
        states[job][ExecutionState(state)] = count
    regions = {row.job: row.regions for row in connection.execute(_REGIONS, wanted)}
    return states, regions


def _require_one(rowcount: int, turn: AnyRow) -> None:
    if rowcount != 1:
        message = f"execution {turn.execution} moved on from version {turn.version}"
        raise StateMoved(message, code="execution_moved")
