"""T3: a posted result is checked, its text stored, and then everything moves in one transaction."""

import json
import threading
from typing import Protocol

import msgspec

from hivemark.api.link import ResultAnswer, ResultFrame
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.ports import (
    AttemptRow,
    BlobStore,
    ExecutionRow,
    HiveRow,
    HiveStore,
    JobHead,
    JobStore,
    LeaseStore,
    LogStore,
    Result,
    ResultStore,
    StateMoved,
)
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.disclosures import encode_disclosed
from hivemark.coordinator.service.facts import JobFacts
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Identity
from hivemark.coordinator.service.receipts import Asked, CheckedResult, ReceiptRefused, verify_result
from hivemark.coordinator.service.requests import Requests
from hivemark.coordinator.service.statements import Outcome, Statements
from hivemark.credits.price import NOOP_MICRO, Price, charge_micro
from hivemark.errors import NotFoundError, TooLargeError
from hivemark.jobs.backoff import not_before_ms
from hivemark.jobs.lifecycle import ExecutionEvent
from hivemark.protocol.receipt import Receipt, Usage


class ResultStores(JobStore, LeaseStore, ResultStore, HiveStore, LogStore, Protocol):
    """The ports of accepting results."""


class Results:
    """Accepts, records late, or refuses; a refused result ends its attempt and is counted by code."""

    def __init__(
        self,
        *,
        store: ResultStores,
        blobs: BlobStore,
        requests: Requests,
        statements: Statements,
        identity: Identity,
        price: Price,
        hints: Hints,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self.facts = JobFacts(store)
        self._blobs = blobs
        self._requests = requests
        self._statements = statements
        self._identity = identity
        self._price = price
        self._hints = hints
        self._metrics = metrics
        self._logging_cut = threading.Lock()

    def accept(self, hive: HiveRow, frame: ResultFrame, *, now_ms: int) -> ResultAnswer:
        """Spec/http 6. The hive is authenticated already.

        Raises `NotFoundError` `unknown_attempt` for attempts that are not this hive's, `ReceiptRefused` for
        a result that does not hold; its attempt then counts as failed.
        """
        attempt = self._store.attempt(frame.attempt)
        if attempt is None or attempt.hive != hive.id:
            raise NotFoundError("this hive has no such attempt", code="unknown_attempt", field="attempt")
        execution, job = self._context(attempt)
        request = self._requests.effective(job, execution)
        asked = Asked(
            network=self._identity.network, hive=hive, attempt=attempt, execution=execution, request=request
        )
        try:
            checked = verify_result(frame, asked)
        except ReceiptRefused as refusal:
            self._refuse(refusal, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
            raise
        if attempt.receipt_sha256 == checked.seen.receipt_sha256:
            return ResultAnswer(attempt=attempt.id, outcome="duplicate")
        if attempt.outcome is not None:
            return self._late(checked, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
        try:
            self._record(checked, hive=hive, attempt=attempt, execution=execution, job=job, now_ms=now_ms)
        except StateMoved:
            return self._late(checked, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
        except TooLargeError as error:  # a receipt that no log entry can hold
            unloggable = ReceiptRefused(error)
            self._refuse(unloggable, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
            raise unloggable from error
        return ResultAnswer(attempt=attempt.id, outcome="accepted")

    def _context(self, attempt: AttemptRow) -> tuple[ExecutionRow, JobHead]:
        execution = self._store.execution(attempt.execution)
        assert execution is not None, "an attempt has an execution"
        return execution, self.facts.head(attempt.job)

    def _record(
        self,
        checked: CheckedResult,
        *,
        hive: HiveRow,
        attempt: AttemptRow,
        execution: ExecutionRow,
        job: JobHead,
        now_ms: int,
    ) -> None:
        """Blob first, then T3: a row never points to text that a crash could have lost."""
        receipt, seen = checked.receipt, checked.seen
        disclosure = self._blobs.put(encode_disclosed(checked.disclosed))
        event = _event(receipt)
        usage = seen.usage
        self._store.record_result(
            Result(
                attempt=attempt.id,
                lease_version=attempt.lease_version,
                event=event,
                now_ms=now_ms,
                receipt=seen.receipt,
                receipt_sha256=seen.receipt_sha256,
                disclosure=disclosure,
                prompt_tokens=usage.prompt_tokens if usage else None,
                completion_tokens=usage.completion_tokens if usage else None,
                charge_micro=self._charge_micro(receipt, seen.usage, execution),
                failure=None if receipt.failure is None else msgspec.json.encode(receipt.failure).decode(),
                not_before_ms=not_before_ms(attempt.number, now_ms),
                log=self._statements.attempt(
                    job=job, attempt=attempt, hive=hive, outcome="accepted", seen=seen, now_ms=now_ms
                ),
                log_event_body=_event_body(receipt, hive, attempt, execution),
            )
        )
        self._metrics.attempts_finished.labels(outcome=receipt.outcome).inc()
        self._notify(attempt, requeued=event is ExecutionEvent.FAILED_TRANSIENT)

    def _charge_micro(self, receipt: Receipt, usage: Usage | None, execution: ExecutionRow) -> int:
        """What the work costs, never more than was held; a failed attempt costs nothing."""
        if receipt.outcome != "completed":
            return 0
        if execution.model_name is None:
            return min(NOOP_MICRO, execution.hold_micro)
        if usage is None:
            return 0
        charge = charge_micro(usage.prompt_tokens, usage.completion_tokens, self._price)
        return min(charge, execution.hold_micro)

    def _late(
        self, checked: CheckedResult, *, hive: HiveRow, attempt: AttemptRow, job: JobHead, now_ms: int
    ) -> ResultAnswer:
        """The lease has moved: the receipt is logged for what it is, and never paid."""
        entry = self._statements.attempt(
            job=job, attempt=attempt, hive=hive, outcome="late", seen=checked.seen, now_ms=now_ms
        )
        fresh = self._store.record_late(
            attempt.id, receipt_sha256=checked.seen.receipt_sha256, now_ms=now_ms, log=entry
        )
        if not fresh:
            return ResultAnswer(attempt=attempt.id, outcome="duplicate")
        self._metrics.attempts_finished.labels(outcome="late").inc()
        self._notify(attempt, requeued=False)
        return ResultAnswer(attempt=attempt.id, outcome="late")

    def _refuse(
        self, refusal: ReceiptRefused, *, hive: HiveRow, attempt: AttemptRow, job: JobHead, now_ms: int
    ) -> None:
        self._metrics.receipts_refused.labels(code=refusal.reason).inc()
        if attempt.outcome is None:
            self.end_without_receipt(
                attempt, job=job, hive=hive, outcome="no_receipt", reason=refusal.code, now_ms=now_ms
            )

    def end_without_receipt(
        self,
        attempt: AttemptRow,
        *,
        job: JobHead,
        hive: HiveRow,
        outcome: Outcome,
        reason: str,
        now_ms: int,
    ) -> bool:
        """End an open attempt that yields no receipt; False when it had moved on by itself."""
        entry = self._statements.attempt(
            job=job, attempt=attempt, hive=hive, outcome=outcome, seen=None, now_ms=now_ms
        )
        try:
            self._store.record_lost(
                attempt.id,
                lease_version=attempt.lease_version,
                now_ms=now_ms,
                not_before_ms=not_before_ms(attempt.number, now_ms),
                reason=reason,
                log=entry,
            )
        except StateMoved:
            return False
        self._metrics.attempts_finished.labels(outcome=outcome).inc()
        self._notify(attempt, requeued=True)
        return True

    def log_cut(self, *, now_ms: int, limit: int) -> int:
        """Queue the entries of attempts that a cancelled job cut; after a crash the next call finds them."""
        with self._logging_cut:  # two callers would find the same attempts
            return self._log_cut(now_ms, limit)

    def _log_cut(self, now_ms: int, limit: int) -> int:
        unlogged = self._store.unlogged_attempts(limit=limit)
        for attempt in unlogged:
            job, hive = self.facts.head(attempt.job), self._store.hive(attempt.hive)
            assert hive is not None, "an attempt has a hive"
            entry = self._statements.attempt(
                job=job, attempt=attempt, hive=hive, outcome="cut", seen=None, now_ms=now_ms
            )
            self._store.queue_entry(entry, now_ms=now_ms)
            self._metrics.attempts_finished.labels(outcome="cut").inc()
            self._hints.notify(hints.of_hive(attempt.hive))
        if unlogged:
            self._hints.notify(hints.LOG)
        return len(unlogged)

    def _notify(self, attempt: AttemptRow, *, requeued: bool) -> None:
        self._hints.notify(hints.LOG)
        self._hints.notify(hints.of_job(attempt.job))
        self._hints.notify(hints.QUEUE if requeued else hints.of_hive(attempt.hive))


def _event(receipt: Receipt) -> ExecutionEvent:
    if receipt.failure is None:
        return ExecutionEvent.SUCCEEDED
    if receipt.failure.transient:
        return ExecutionEvent.FAILED_TRANSIENT
    return ExecutionEvent.FAILED_PERMANENT


def _event_body(receipt: Receipt, hive: HiveRow, attempt: AttemptRow, execution: ExecutionRow) -> str:
    """What followers of the job see; text is not in it."""
    return json.dumps(
        {
            "execution": execution.id,
            "ordinal": execution.ordinal,
            "attempt": attempt.id,
            "number": attempt.number,
            "hive": hive.id,
            "region": hive.region,
            "model": execution.model_name,
            "question": execution.question,
            "outcome": receipt.outcome,
            "finish_reason": receipt.finish_reason,
            "failure": receipt.failure.code if receipt.failure else None,
            "completion_tokens": receipt.usage.completion_tokens if receipt.usage else None,
            "duration_us": receipt.times.duration_us,
        }
    )
