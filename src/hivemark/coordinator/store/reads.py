"""Reads across the ports: looks before a submission, many rows at once, how much there is."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, select

from hivemark.coordinator.ports import AttemptRow, Counts, LogRow
from hivemark.coordinator.store import intake, rows
from hivemark.coordinator.store.database import Database
from hivemark.coordinator.store.log import FULL_ROW, log_row
from hivemark.coordinator.store.tables import attempts, executions, jobs, log_queue, log_rows
from hivemark.jobs.lifecycle import ExecutionState, JobState

_ATTEMPTS_OF: Final = select(*rows.ATTEMPT).where(attempts.c.id.in_(bindparam("wanted", expanding=True)))
_UNLOGGED: Final = (
    select(*rows.ATTEMPT)
    .where(attempts.c.outcome.is_not(None), attempts.c.log_entry.is_(None))
    .order_by(attempts.c.id)
    .limit(bindparam("page"))
)
_ROWS_OF: Final = FULL_ROW.where(log_rows.c.id.in_(bindparam("wanted", expanding=True)))
_JOBS_BY_STATE: Final = select(jobs.c.state, func.count()).group_by(jobs.c.state)
_EXECUTIONS_BY_STATE: Final = select(executions.c.state, func.count()).group_by(executions.c.state)
_QUEUED: Final = select(func.count()).select_from(log_queue)


class SqlReads:
    """The parts of `ports.JobStore`, `LeaseStore` and `LogStore` that only look."""

    _db: Database

    def replayed(self, *, signer: str, idempotency_key: str, body_sha256: str) -> str | None:
        return self._db.read(
            lambda c: intake.replayed(
                c, signer=signer, idempotency_key=idempotency_key, body_sha256=body_sha256
            )
        )

    def require_unused(self, *, signer: str, spec_id: str, nonce: str) -> None:
        self._db.read(lambda c: intake.require_unused(c, signer=signer, spec_id=spec_id, nonce=nonce))

    def attempts_of(self, attempt_ids: Sequence[str]) -> Sequence[AttemptRow]:
        return self._attempts(_ATTEMPTS_OF, {"wanted": list(attempt_ids)})

    def unlogged_attempts(self, *, limit: int) -> Sequence[AttemptRow]:
        return self._attempts(_UNLOGGED, {"page": limit})

    def log_rows_of(self, row_ids: Sequence[str]) -> Sequence[LogRow]:
        found = self._db.read(lambda c: c.execute(_ROWS_OF, {"wanted": list(row_ids)}).all())
        return [log_row(row) for row in found]

    def counts(self) -> Counts:
        by_job, by_execution, queued = self._db.read(
            lambda c: (
                c.execute(_JOBS_BY_STATE).all(),
                c.execute(_EXECUTIONS_BY_STATE).all(),
                c.execute(_QUEUED).scalar_one(),
            )
        )
        return Counts(
            jobs={JobState(state): count for state, count in by_job},
            executions={ExecutionState(state): count for state, count in by_execution},
            log_queue=queued,
        )

    def _attempts(self, statement: Select[Any], values: dict[str, object]) -> Sequence[AttemptRow]:
        return [rows.attempt_row(row) for row in self._db.read(lambda c: c.execute(statement, values).all())]
