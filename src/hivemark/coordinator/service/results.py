"""T3: a posted result is checked, its text stored, and then everything moves in one transaction."""

import json
import threading
from typing import Final, Protocol

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
from hivemark.coordinator.service.calls import end_of
from hivemark.coordinator.service.disclosures import encode_disclosed
from hivemark.coordinator.service.endings import (
    Ending,
    ending_of,
    ending_without_receipt,
    heard_of,
    with_texts,
)
from hivemark.coordinator.service.facts import JobFacts
from hivemark.coordinator.service.held import HeldCall, HeldCalls
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.coordinator.service.receipts import (
    Asked,
    CheckedResult,
    ReceiptRefused,
    cut_short,
    verify_result,
)
from hivemark.coordinator.service.requests import Requests
from hivemark.coordinator.service.statements import Outcome, Seen, Statements
from hivemark.credits.price import NOOP_MICRO, Price, charge_micro
from hivemark.errors import NotFoundError, TooLargeError
from hivemark.jobs.backoff import not_before_ms
from hivemark.jobs.lifecycle import FINAL_EXECUTION_STATES, ExecutionEvent, ExecutionState
from hivemark.protocol.bundle import Disclosed
from hivemark.protocol.commitment import SALT_BYTES
from hivemark.protocol.receipt import Receipt

_LOST: Final = "the hive that was to answer was lost"


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
        held: HeldCalls,
        facts: JobFacts,
        price: Price,
        random: Random,
        hints: Hints,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._held = held
        self._random = random
        self.facts = facts
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
        held = self._held.of(attempt.execution)
        heard = heard_of(held, attempt.id, salt=self._random(SALT_BYTES)) if held is not None else None
        asked = Asked(
            network=self._identity.network,
            hive=hive,
            attempt=attempt,
            execution=execution,
            request=self._requests.effective(job, execution),
            is_call=job.held_by is not None,
            heard=heard,
        )
        try:
            checked = verify_result(frame, asked)
        except ReceiptRefused as refusal:
            self._refuse(refusal, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
            raise
        if attempt.receipt_sha256 == checked.envelope_sha256:
            return ResultAnswer(attempt=attempt.id, outcome="duplicate")
        if attempt.outcome is not None:
            return self._late(checked, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
        try:
            self._record(checked, asked, job=job, held=held, now_ms=now_ms)
        except StateMoved:
            return self._late(checked, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
        except TooLargeError as error:  # a receipt that no log entry can hold
            unloggable = ReceiptRefused(error)
            self._refuse(unloggable, hive=hive, attempt=attempt, job=job, now_ms=now_ms)
            raise unloggable from error
        return ResultAnswer(attempt=attempt.id, outcome="accepted")

    def require_open(self, hive: HiveRow, attempt_id: str) -> str:
        """The execution of an open attempt of this hive: what its stream is for."""
        attempt = self._store.attempt(attempt_id)
        if attempt is None or attempt.hive != hive.id:
            raise NotFoundError("this hive has no such attempt", code="unknown_attempt", field="attempt")
        if attempt.outcome is not None:
            raise StateMoved(f"attempt {attempt_id} has ended", code="lease_moved")
        return attempt.execution

    def _context(self, attempt: AttemptRow) -> tuple[ExecutionRow, JobHead]:
        execution = self._store.execution(attempt.execution)
        assert execution is not None, "an attempt has an execution"
        return execution, self.facts.head(attempt.job)

    def _record(
        self, checked: CheckedResult, asked: Asked, *, job: JobHead, held: HeldCall | None, now_ms: int
    ) -> None:
        """Blob first, then T3: a row never points to text that a crash could have lost."""
        receipt, seen, attempt, execution = checked.receipt, checked.seen, asked.attempt, asked.execution
        ending = ending_of(receipt, asked, held)
        disclosure, disclosed = self._kept(checked, asked, held)
        usage = seen.usage
        failure = None if receipt.failure is None else msgspec.json.encode(receipt.failure).decode()
        state = self._store.record_result(
            Result(
                attempt=attempt.id,
                lease_version=attempt.lease_version,
                event=ending.event,
                now_ms=now_ms,
                receipt=checked.envelope,
                receipt_sha256=checked.envelope_sha256,
                disclosure=disclosure,
                disclosed=disclosed,
                prompt_tokens=usage.prompt_tokens if usage else None,
                completion_tokens=usage.completion_tokens if usage else None,
                charge_micro=self._charge_micro(checked, asked, ending),
                failure=failure,
                not_before_ms=now_ms if asked.is_call else not_before_ms(attempt.number, now_ms),
                log=self._statements.attempt(
                    job=job,
                    attempt=attempt,
                    hive=asked.hive,
                    outcome=ending.outcome,
                    seen=seen,
                    now_ms=now_ms,
                ),
                log_event_body=_event_body(receipt, asked.hive, attempt, execution),
            )
        )
        self._metrics.attempts_finished.labels(outcome=ending.outcome).inc()
        self._end_call(held, state, failure)
        self._notify(attempt, requeued=ending.event is ExecutionEvent.FAILED_TRANSIENT)

    def _kept(
        self, checked: CheckedResult, asked: Asked, held: HeldCall | None
    ) -> tuple[str | None, bytes | None]:
        """Where what opens the commitments is kept: in a blob with the texts, or in the row without them."""
        if not asked.is_call:
            return self._blobs.put(encode_disclosed(checked.disclosed)), None
        if held is not None and held.keeps_text and asked.heard is not None:
            return self._blobs.put(encode_disclosed(with_texts(checked.disclosed, asked))), None
        return None, encode_disclosed(checked.disclosed)

    def _end_call(self, held: HeldCall | None, state: ExecutionState, failure: str | None) -> None:
        """Tell whoever holds the client how it ended, or that another attempt is waited for."""
        if held is None:
            return
        if state in FINAL_EXECUTION_STATES:
            held.end = end_of(state, failure)
            if held.over is not None:  # nobody waits to be told
                self._held.forget(held)
        else:
            held.attempt = None
        self._hints.notify(hints.of_call(held.execution))

    def _charge_micro(self, checked: CheckedResult, asked: Asked, ending: Ending) -> int:
        """What the work costs, never more than was held. A failed attempt costs nothing; of an answer that
        was cut off, what the client was given is paid: by the hive's count, or by ours where it has none."""
        usage, hold_micro = checked.seen.usage, asked.execution.hold_micro
        if checked.receipt.outcome != "completed" and ending.outcome != "cut":
            return 0
        if asked.execution.model_name is None:
            return min(NOOP_MICRO, hold_micro)
        if usage is not None:
            charge = charge_micro(usage.prompt_tokens, usage.completion_tokens, self._price)
        elif ending.outcome == "cut" and asked.heard is not None:
            charge = charge_micro(0, asked.heard.given_tokens, self._price)
        else:
            charge = 0
        return min(charge, hold_micro)

    def _late(
        self, checked: CheckedResult, *, hive: HiveRow, attempt: AttemptRow, job: JobHead, now_ms: int
    ) -> ResultAnswer:
        """The lease has moved: the receipt is logged for what it is, and never paid."""
        entry = self._statements.attempt(
            job=job, attempt=attempt, hive=hive, outcome="late", seen=checked.seen, now_ms=now_ms
        )
        fresh = self._store.record_late(
            attempt.id, receipt_sha256=checked.envelope_sha256, now_ms=now_ms, log=entry
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
        is_call, held = job.held_by is not None, self._held.of(attempt.execution)
        ending = ending_without_receipt(held, is_call=is_call)
        if ending.outcome == "cut" and outcome == "lost":
            outcome = "cut"
        seen, disclosed = self._given(held, attempt) if outcome == "cut" else (None, None)
        entry = self._statements.attempt(
            job=job, attempt=attempt, hive=hive, outcome=outcome, seen=seen, now_ms=now_ms
        )
        try:
            state = self._store.record_lost(
                attempt.id,
                lease_version=attempt.lease_version,
                now_ms=now_ms,
                not_before_ms=now_ms if is_call else not_before_ms(attempt.number, now_ms),
                reason=reason,
                log=entry,
                event=ending.event,
                disclosed=disclosed,
            )
        except StateMoved:
            return False
        self._metrics.attempts_finished.labels(outcome=outcome).inc()
        self._end_call(held, state, json.dumps({"code": reason, "message": _LOST}))
        self._notify(attempt, requeued=ending.event is ExecutionEvent.LEASE_LOST)
        return True

    def _given(self, held: HeldCall | None, attempt: AttemptRow) -> tuple[Seen | None, bytes | None]:
        """What the client of a call was given before it was cut off without a receipt."""
        if held is None:
            return None, None
        heard = heard_of(held, attempt.id, salt=self._random(SALT_BYTES))
        if not heard.delivered:
            return None, None
        delivered, salted = cut_short(heard)
        seen = Seen(receipt=None, receipt_sha256=None, delivered=delivered, usage=None)
        return seen, encode_disclosed(Disclosed(delivered=salted))

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
