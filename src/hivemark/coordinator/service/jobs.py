"""Reading jobs and executions, following and cancelling them; who may see what is decided by `access`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hivemark.coordinator.ports import (
    AttemptRow,
    BlobStore,
    ExecutionRow,
    HiveModel,
    HiveRow,
    HiveStore,
    JobEvent,
    JobHead,
    JobRow,
    JobStore,
    LeaseStore,
    LogRow,
    LogStore,
)
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.access import Reader, Role, require_visible
from hivemark.coordinator.service.calls import Calls
from hivemark.coordinator.service.disclosures import parse_disclosed
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.requests import Requests
from hivemark.coordinator.service.results import Results
from hivemark.coordinator.service.transparency import NotYetLogged, Transparency
from hivemark.errors import ConflictError, ForbiddenError, NotFoundError
from hivemark.jobs.lifecycle import FINAL_JOB_STATES, ExecutionState
from hivemark.protocol.bundle import Bundle, Disclosed
from hivemark.protocol.dsse import parse_envelope
from hivemark.protocol.jobspec_members import Providers
from hivemark.protocol.receipt import Receipt, parse_receipt

PAGE_MAX: Final = 1_000
EVENTS_PAGE: Final = 500
_CELLS_READ: Final = 5_000
_NEEDS_KEPT: Final = 256
_ENTRIES_AT_ONCE: Final = 128

Need = tuple[str | None, str | None, str | None]
"""Model, weights and region that a cell has to find at one hive."""


class ReadingStores(JobStore, LeaseStore, HiveStore, LogStore, Protocol):
    """The ports of reading."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job and what its queued cells wait for, in words."""

    job: JobRow
    waiting_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution with its current or deciding attempt; `output` is None where it may not be read."""

    execution: ExecutionRow
    question_id: str | None
    category: str | None
    persona: str | None
    arm: str | None
    attempt: AttemptRow | None
    hive: HiveRow | None
    receipt: Receipt | None
    output: str | None
    log_index: int | None


@dataclass(frozen=True, slots=True)
class LoggedReceipt:
    """The statements of an execution's deciding attempt."""

    execution: str
    attempt: str
    entry: bytes


class Jobs:
    """What people read about jobs, and how they call them off."""

    def __init__(
        self,
        *,
        store: ReadingStores,
        blobs: BlobStore,
        requests: Requests,
        results: Results,
        transparency: Transparency,
        calls: Calls,
        hints: Hints,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._requests = requests
        self._results = results
        self._transparency = transparency
        self._calls = calls
        self._hints = hints
        self._needs: dict[str, frozenset[Need]] = {}

    def find(self, name: str, reader: Reader) -> JobRow:
        """A job by its id, or by the id in its spec when only one visible job has that."""
        job = self._store.job(name)
        if job is not None:
            require_visible(job, reader)
            return job
        visible = [row for row in self._store.jobs_by_spec_id(name) if reader.may_see(row)]
        if len(visible) > 1:
            raise ConflictError(
                "several signers used this id",
                code="ambiguous_job",
                hint=f"ask for one of {', '.join(row.id for row in visible[:5])}",
            )
        require_visible(visible[0] if visible else None, reader)
        return visible[0]

    def view(self, job: JobRow) -> JobView:
        """The job with what it waits for."""
        return JobView(job=job, waiting_for=self._waiting_for(job))

    def page(self, reader: Reader, *, before: str | None, limit: int) -> Sequence[JobRow]:
        """Newest first: all for roles, an account's own for accounts, public ones for anyone."""
        if reader.role >= Role.VIEWER:
            return self._store.jobs(account=None, public_only=False, before=before, limit=limit)
        if reader.account is not None:
            return self._store.jobs(account=reader.account, public_only=False, before=before, limit=limit)
        return self._store.jobs(account=None, public_only=True, before=before, limit=limit)

    def executions(
        self, reader: Reader, *, job: JobRow | None, before: str | None, limit: int
    ) -> list[ExecutionView]:
        """Of one job by ordinal, or the newest of every job the reader may see."""
        public_only = job is None and reader.role < Role.VIEWER
        rows = self._store.executions(
            job=job.id if job else None, public_only=public_only, before=before, limit=limit
        )
        return self._views(rows, reader, {job.id: job} if job else {})

    def execution(self, execution_id: str, reader: Reader) -> ExecutionView:
        """One execution; raises `NotFoundError` also when its job is private to someone else."""
        row, job = self._visible_execution(execution_id, reader)
        return self._views([row], reader, {job.id: job})[0]

    def receipt(self, execution_id: str, reader: Reader) -> LoggedReceipt:
        """Receipt and acceptance; raises `NotFoundError` `no_receipt` before there are any."""
        row, _ = self._visible_execution(execution_id, reader)
        attempt, log = self._logged(row)
        assert log.entry is not None, "entries of attempts are kept"
        return LoggedReceipt(execution=row.id, attempt=attempt.id, entry=log.entry)

    def proof(self, execution_id: str, reader: Reader) -> str:
        """The `.tlog-proof`; raises `NotYetLogged` until a checkpoint covers the entry."""
        row, _ = self._visible_execution(execution_id, reader)
        _, log = self._logged(row)
        return self._transparency.proof_text(_require_index(log))

    def bundle(self, execution_id: str, reader: Reader) -> Bundle:
        """Everything that proves one execution; texts only for those who may read them."""
        row, job = self._visible_execution(execution_id, reader)
        attempt, log = self._logged(row)
        return self._bundle(attempt, log, job, reader)

    def bundles(self, job: JobRow, reader: Reader) -> Iterator[Bundle]:
        """The bundles of every execution of a job that has a receipt, by ordinal; raises `NotYetLogged`
        before the first when a checkpoint does not cover them all."""
        rows = self._store.executions(job=job.id, public_only=False, before=None, limit=_CELLS_READ)
        attempts = {
            attempt.id: attempt
            for attempt in self._store.attempts_of([row.attempt for row in rows if row.attempt])
            if attempt.receipt is not None and attempt.log_entry is not None
        }
        chosen = [attempts[row.attempt] for row in rows if row.attempt in attempts]
        if chosen:
            size = self._transparency.root().checkpoint.size
            for log in self._log_rows(chosen):
                if log.index is None or log.index >= size:
                    raise NotYetLogged(code="not_yet_logged")
        return (
            self._bundle(attempt, log, job, reader)
            for attempt, log in zip(chosen, self._log_rows(chosen), strict=True)
        )

    def _log_rows(self, attempts: Sequence[AttemptRow]) -> Iterator[LogRow]:
        """The log rows of these attempts in their order, read some at a time: entries are large."""
        for start in range(0, len(attempts), _ENTRIES_AT_ONCE):
            ids = [one.log_entry or "" for one in attempts[start : start + _ENTRIES_AT_ONCE]]
            known = {row.id: row for row in self._store.log_rows_of(ids)}
            yield from (known[row_id] for row_id in ids)

    def events(self, job: JobRow, *, seq: int) -> Sequence[JobEvent]:
        """The job's events after `seq`, at most a page of them."""
        return self._store.events_after(job.id, seq=seq, limit=EVENTS_PAGE)

    def cancel(self, name: str, reader: Reader, *, now_ms: int) -> JobRow:
        """Call a job off; its account may, and an operator. Attempts that run are cut and logged as such."""
        job = self.find(name, reader)
        if reader.role < Role.OPERATOR and reader.account != job.account:
            reader.require_role(Role.OPERATOR)
            raise ForbiddenError("only the job's account may cancel it", code="not_yours")
        if job.state in FINAL_JOB_STATES:
            raise ConflictError(f"this job is {job.state} already", code="job_final")
        if (call := self._calls.held.of_job(job.id)) is not None:
            self._calls.cancel(call.execution, account=None, now_ms=now_ms)
            return self.find(job.id, reader)
        cut = self._store.cancel(job.id, now_ms=now_ms)
        self._results.log_cut(now_ms=now_ms, limit=max(1, len(cut)))
        self._hints.notify(hints.of_job(job.id))
        return self.find(job.id, reader)

    def _visible_execution(self, execution_id: str, reader: Reader) -> tuple[ExecutionRow, JobHead]:
        row = self._store.execution(execution_id)
        job = self._store.job(row.job) if row is not None else None
        if row is None or job is None or not reader.may_see(job):
            raise NotFoundError("there is no such execution, or it is private", code="unknown_execution")
        return row, job

    def _logged(self, row: ExecutionRow) -> tuple[AttemptRow, LogRow]:
        attempt = self._store.attempt(row.attempt) if row.attempt else None
        if attempt is None or attempt.log_entry is None:
            raise NotFoundError(f"this execution is {row.state} and has no receipt yet", code="no_receipt")
        log = self._store.log_row(attempt.log_entry)
        assert log is not None, "a queued entry has a row"
        return attempt, log

    def _bundle(self, attempt: AttemptRow, log: LogRow, job: JobHead, reader: Reader) -> Bundle:
        assert log.entry is not None, "entries of attempts are kept"
        readable = reader.may_read_text(job)
        return Bundle(
            spec=job.spec_raw if readable else None,
            entry=log.entry,
            entry_salt=log.salt,
            proof=self._transparency.proof_text(_require_index(log)),
            disclosed=self._disclosed(attempt) if readable else Disclosed(),
        )

    def _disclosed(self, attempt: AttemptRow) -> Disclosed:
        blob = self._blobs.get(attempt.disclosure) if attempt.disclosure else attempt.disclosed
        return parse_disclosed(blob) if blob is not None else Disclosed()

    def _views(
        self, rows: Sequence[ExecutionRow], reader: Reader, jobs: Mapping[str, JobHead]
    ) -> list[ExecutionView]:
        """Joins by hand, with one read per kind of row."""
        heads: dict[str, JobHead] = dict(jobs)
        for job_id in {row.job for row in rows} - heads.keys():
            head = self._store.job(job_id)
            assert head is not None, "an execution has a job"
            heads[job_id] = head
        attempts = {
            attempt.id: attempt
            for attempt in self._store.attempts_of([row.attempt for row in rows if row.attempt])
        }
        entries = [attempt.log_entry for attempt in attempts.values() if attempt.log_entry]
        logged = {row.id: row for row in self._store.log_rows_of(entries)}
        hives = {hive.id: hive for hive in self._store.hives()} if attempts else {}
        return [self._view(row, heads[row.job], reader, attempts, logged, hives) for row in rows]

    def _view(
        self,
        row: ExecutionRow,
        job: JobHead,
        reader: Reader,
        attempts: Mapping[str, AttemptRow],
        logged: Mapping[str, LogRow],
        hives: Mapping[str, HiveRow],
    ) -> ExecutionView:
        spec = self._requests.spec(job)
        bare = not spec.benchmark.asks_questions
        attempt = attempts.get(row.attempt) if row.attempt else None
        log = logged.get(attempt.log_entry) if attempt and attempt.log_entry else None
        shown = self._disclosed(attempt) if attempt and reader.may_read_text(job) else Disclosed()
        return ExecutionView(
            execution=row,
            question_id=None if bare else spec.questions[row.question].id,
            category=None if bare else self._requests.category(spec, row.question),
            persona=spec.execution.personas[row.persona].id if spec.execution.personas and not bare else None,
            arm=spec.execution.arms[row.arm].id if spec.execution.arms else None,
            attempt=attempt,
            hive=hives.get(attempt.hive) if attempt else None,
            receipt=_receipt(attempt),
            output=shown.output.text if shown.output else None,
            log_index=log.index if log else None,
        )

    def _waiting_for(self, job: JobRow) -> tuple[str, ...]:
        """Why queued cells are not leased: a cell for which no linked hive exists waits for one.

        What the cells of a job need never changes and is read once; only when something is missing are the
        cells read again, to leave out what is done.
        """
        if job.state in FINAL_JOB_STATES or job.progress.queued == 0:
            return ()
        needs = self._needs.get(job.id)
        if needs is None:
            needs = self._needs_of(job, queued_only=False)
            while len(self._needs) >= _NEEDS_KEPT:
                self._needs.pop(next(iter(self._needs)), None)
            self._needs[job.id] = needs
        hives = [hive for hive in self._store.hives() if hive.status == "active"]
        providers = self._requests.spec(job).constraints.providers
        unmet = {need: reason for need in needs if (reason := _reason(*need, hives, providers))}
        if unmet:
            queued = self._needs_of(job, queued_only=True)
            unmet = {need: reason for need, reason in unmet.items() if need in queued}
        return tuple(sorted(set(unmet.values())))

    def _needs_of(self, job: JobRow, *, queued_only: bool) -> frozenset[Need]:
        rows = self._store.executions(job=job.id, public_only=False, before=None, limit=_CELLS_READ)
        return frozenset(
            (row.model_name, row.weights_sha256, row.region)
            for row in rows
            if not queued_only or row.state is ExecutionState.QUEUED
        )


def _require_index(log: LogRow) -> int:
    if log.index is None:
        raise NotYetLogged(code="not_yet_logged")
    return log.index


def _receipt(attempt: AttemptRow | None) -> Receipt | None:
    if attempt is None or attempt.receipt is None:
        return None
    return parse_receipt(parse_envelope(attempt.receipt).payload)


def _reason(
    name: str | None,
    weights: str | None,
    region: str | None,
    hives: Sequence[HiveRow],
    providers: Providers,
) -> str | None:
    place = f"in {region} " if region else ""
    wanted = f"a hive {place}".strip()
    if name is not None:
        wanted += f" that offers {name}{'' if weights else ' without a digest'}"
    able = [
        hive
        for hive in hives
        if region in (None, hive.region)
        and (name is None or any(_serves(name, weights, model) for model in hive.models))
    ]
    if not able:
        return wanted
    able = [hive for hive in able if providers.admits(hive.id)]
    if not able:
        return f"{wanted} {'and ' if name else ''}that constraints.providers admits"
    if not any(hive.linked for hive in able):
        return f"hive {', '.join(hive.name for hive in able[:3])} {place}to link again"
    if all(hive.draining for hive in able if hive.linked):
        return f"a hive {place}that is not draining"
    return None


def _serves(name: str, weights: str | None, model: HiveModel) -> bool:
    """As placement has it: a cell without a digest goes only where the model has none."""
    if weights is not None:
        return model.weights_sha256 == weights
    return model.name == name and model.weights_sha256 is None


def event_json(event: JobEvent) -> dict[str, Any]:
    """The body of a stored event."""
    body = json.loads(event.body)
    assert isinstance(body, dict), "event bodies are objects"
    return body
