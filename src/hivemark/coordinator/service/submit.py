"""T1: a posted JobSpec becomes a job, checked in the order of docs/spec/http.md 4.1.

Nothing is remembered of a post until all of them have passed, so a bad
signature burns no nonce and takes no id.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.ports import (
    HiveStore,
    JobHead,
    JobRow,
    JobStore,
    KeyStore,
    NewExecution,
    NewJob,
)
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.facts import JobFacts
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Random
from hivemark.coordinator.service.keys import require_trusted
from hivemark.coordinator.service.models import resolve_models
from hivemark.coordinator.service.receipts import message_texts
from hivemark.coordinator.service.requests import Requests
from hivemark.credits.price import NOOP_MICRO, Price, format_credits, hold_micro
from hivemark.errors import HivemarkError, InvalidError, UnsatisfiableError
from hivemark.jobs.cells import Cell, ResolvedModel, expand
from hivemark.jobs.lifecycle import JobState
from hivemark.protocol.ids import EXECUTION, JOB, new_id
from hivemark.protocol.jobspec import SignedJobSpec, parse_jobspec, verify_jobspec
from hivemark.protocol.jobspec_members import JobSpec

IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
_PSEUDONYM_BYTES: Final = 15


class SubmissionStores(JobStore, HiveStore, KeyStore, Protocol):
    """The ports of submission."""


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What this network accepts; ages in seconds."""

    regions: tuple[str, ...]
    default_visibility: str
    age_max_s: float
    skew_max_s: float
    price: Price


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job, and whether an earlier post with the same idempotency key had made it."""

    job: JobRow
    replayed: bool


@dataclass(frozen=True, slots=True)
class CallSpec:
    """The spec of a call as the service signed it, and the weights its model name stands for."""

    signed: SignedJobSpec
    model: ResolvedModel


class Submission:
    """The one path by which jobs come into being."""

    def __init__(
        self,
        *,
        store: SubmissionStores,
        requests: Requests,
        facts: JobFacts,
        rules: IntakeRules,
        random: Random,
        hints: Hints,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._requests = requests
        self._facts = facts
        self._rules = rules
        self._random = random
        self._hints = hints
        self._metrics = metrics

    def submit(self, raw: bytes, *, idempotency_key: str | None, now_ms: int) -> Accepted:
        """Spec/http 4.1; every refusal has a code and, where one is at fault, the field."""
        try:
            accepted = self._submit(raw, idempotency_key, now_ms)
        except HivemarkError as error:
            self._metrics.submissions_refused.labels(code=error.code).inc()
            raise
        self._metrics.submissions_accepted.labels(replayed=str(accepted.replayed).lower()).inc()
        return accepted

    def submit_call(
        self,
        call: CallSpec,
        *,
        account: str,
        api_key: str | None,
        held_by: str,
        hold_micro: int,
        hold_client: Callable[[str, str], None],
        now_ms: int,
    ) -> None:
        """T1 for a call that the service itself has just signed: 4.1.9 to 4.1.11. `hold_client` gets the ids
        of job and execution before the commit."""
        spec = call.signed.spec
        (cell,) = expand(spec, models=(call.model,), regions=(None,))
        execution = self._execution(cell, now_ms, hold_micro=hold_micro)
        job = self._job(call.signed, account, (execution,), None, now_ms, api_key=api_key, held_by=held_by)
        self._requests.remember(job.id, call.signed)
        hold_client(job.id, execution.id)
        self._facts.remember(head_of(job))
        try:
            self._store.submit(job)
        except HivemarkError as error:
            self._metrics.submissions_refused.labels(code=error.code).inc()
            raise
        self._metrics.submissions_accepted.labels(replayed="false").inc()
        self._hints.notify(hints.QUEUE)

    def _submit(self, raw: bytes, idempotency_key: str | None, now_ms: int) -> Accepted:
        signed = parse_jobspec(raw)  # 4.1.1
        verify_jobspec(signed)  # 4.1.2
        key = require_trusted(self._store, signed.public_key)  # 4.1.3
        if (earlier := self._replayed(signed, idempotency_key)) is not None:  # 4.1.4
            return Accepted(job=earlier, replayed=True)
        self._require_fresh(signed.spec, now_ms)  # 4.1.5
        self._store.require_unused(  # 4.1.6 id, 4.1.7 nonce
            signer=key.public_key, spec_id=signed.spec.id, nonce=signed.spec.metadata.nonce
        )
        cells = self._resolve(signed.spec)  # 4.1.8 ids, 4.1.9 limits
        executions = self._price(signed.spec, cells, now_ms)  # 4.1.10
        submitted = self._store.submit(
            self._job(signed, key.account, executions, idempotency_key, now_ms)
        )  # 4.1.11
        if not submitted.replayed:
            self._hints.notify(hints.QUEUE)
        return Accepted(job=self._job_row(submitted.job), replayed=submitted.replayed)

    def _replayed(self, signed: SignedJobSpec, idempotency_key: str | None) -> JobRow | None:
        if idempotency_key is None:
            return None
        if not 1 <= len(idempotency_key) <= IDEMPOTENCY_KEY_CHARS_MAX or not idempotency_key.isprintable():
            raise InvalidError(
                f"1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable characters",
                code="idempotency_key_malformed",
                field="Idempotency-Key",
            )
        job = self._store.replayed(
            signer=signed.public_key.base64,
            idempotency_key=idempotency_key,
            body_sha256=hashlib.sha256(signed.raw).hexdigest(),
        )
        return None if job is None else self._job_row(job)

    def _job_row(self, job_id: str) -> JobRow:
        job = self._store.job(job_id)
        assert job is not None, "a job that was submitted is there"
        return job

    def _require_fresh(self, spec: JobSpec, now_ms: int) -> None:
        age_ms = now_ms - spec.metadata.timestamp_ms
        if age_ms > self._rules.age_max_s * 1000:
            raise InvalidError(
                f"signed {age_ms // 1000} s ago; at most {self._rules.age_max_s:g} s are accepted",
                code="timestamp_too_old",
                field="metadata.timestamp",
                hint="sign the job again",
            )
        if -age_ms > self._rules.skew_max_s * 1000:
            raise InvalidError(
                f"signed {-age_ms // 1000} s in the future",
                code="timestamp_in_future",
                field="metadata.timestamp",
                hint="set the clock of the machine that signs",
            )
        until_ms = spec.execution.valid_until_ms
        if until_ms is not None and until_ms <= now_ms:
            raise InvalidError(
                "this job was valid until a time that has passed",
                code="validity_over",
                field="execution.valid_until",
            )

    def _resolve(self, spec: JobSpec) -> tuple[Cell, ...]:
        """Unknown ids are errors; nothing is put in their place."""
        if spec.request is not None:
            raise UnsatisfiableError(
                "a call is made at the OpenAI endpoints: its body is no part of a spec",
                code="request_unsupported",
                field="request",
                hint="post it to /v1/chat/completions",
            )
        for index in range(0 if spec.benchmark.is_noop else len(spec.questions)):
            self._requests.question(spec, index)
        models = () if spec.benchmark.is_noop else resolve_models(spec.models, self._store.hives())
        for index, region in enumerate(spec.constraints.regions):
            self._require_region(region, f"constraints.regions[{index}]")
        for index, arm in enumerate(spec.execution.arms):
            self._require_region(arm.region, f"execution.arms[{index}].region")
        if spec.constraints.labels:
            raise UnsatisfiableError(
                "hives offer no labels yet, and a label that is asked for is never ignored",
                code="labels_unsatisfiable",
                field="constraints.labels",
                hint="leave the labels out, or name hives in constraints.providers.allow",
            )
        if spec.execution.verification.level != "none":
            raise UnsatisfiableError(
                f"this network cannot check class {spec.execution.verification.level} yet",
                code="verification_unsupported",
                field="execution.verification.class",
                hint='use class "none"; every receipt is signed and logged all the same',
            )
        return expand(spec, models=models, regions=spec.constraints.regions or (None,))

    def _require_region(self, region: str | None, field: str) -> None:
        if region is not None and region not in self._rules.regions:
            raise InvalidError(
                f"there is no region {region!r}",
                code="unknown_region",
                field=field,
                hint=f"the regions are {', '.join(self._rules.regions)}",
            )

    def _price(self, spec: JobSpec, cells: tuple[Cell, ...], now_ms: int) -> tuple[NewExecution, ...]:
        """Each cell with the most it can cost; raises `max_cost_exceeded` when the sum is over the limit."""
        executions = tuple(
            self._execution(cell, now_ms, hold_micro=self._hold_micro(spec, cell)) for cell in cells
        )
        total_micro = sum(execution.hold_micro for execution in executions)
        limit_micro = spec.constraints.max_cost_micro
        if limit_micro is not None and total_micro > limit_micro:
            raise UnsatisfiableError(
                f"this may cost {format_credits(total_micro)}, the limit is {format_credits(limit_micro)}",
                code="max_cost_exceeded",
                field="constraints.max_cost",
                hint="raise the limit, ask fewer questions or lower execution.sampling.max_tokens",
            )
        return executions

    def _execution(self, cell: Cell, now_ms: int, *, hold_micro: int) -> NewExecution:
        model = cell.resolved_model
        return NewExecution(
            id=new_id(EXECUTION, now_ms=now_ms, random=self._random),
            question=cell.question,
            persona=cell.persona,
            model=cell.model,
            region_index=cell.region_index,
            arm=cell.arm,
            repeat=cell.repeat,
            replica=cell.replica,
            model_name=model.name if model else None,
            weights_sha256=model.weights_sha256 if model else None,
            region=cell.region,
            hold_micro=hold_micro,
        )

    def _hold_micro(self, spec: JobSpec, cell: Cell) -> int:
        if cell.resolved_model is None:
            return NOOP_MICRO
        texts = message_texts(self._requests.effective_cell(spec, cell))
        return hold_micro(map(len, texts), spec.execution.sampling.max_tokens, self._rules.price)

    def _job(
        self,
        signed: SignedJobSpec,
        account: str,
        executions: tuple[NewExecution, ...],
        idempotency_key: str | None,
        now_ms: int,
        *,
        api_key: str | None = None,
        held_by: str | None = None,
    ) -> NewJob:
        spec = signed.spec
        deadline_ms = now_ms + int(spec.constraints.timeout_s * 1000)
        if spec.execution.valid_until_ms is not None:
            deadline_ms = min(deadline_ms, spec.execution.valid_until_ms)
        pseudonym = base64.b32encode(self._random(_PSEUDONYM_BYTES)).decode("ascii").lower()
        return NewJob(
            id=new_id(JOB, now_ms=now_ms, random=self._random),
            account=account,
            signer=signed.public_key.base64,
            spec_id=spec.id,
            spec_raw=signed.raw,
            spec_message=signed.message,
            spec_sha256=signed.spec_sha256,
            nonce=spec.metadata.nonce,
            nonce_until_ms=spec.metadata.timestamp_ms + int(self._rules.age_max_s * 1000) + 1,
            idempotency_key=idempotency_key,
            body_sha256=hashlib.sha256(signed.raw).hexdigest(),
            benchmark=spec.benchmark.name,
            visibility=spec.execution.visibility or self._rules.default_visibility,
            min_success_rate=spec.constraints.min_success_rate,
            min_regions=spec.constraints.min_regions,
            created_ms=now_ms,
            deadline_ms=deadline_ms,
            requester=f"req_{pseudonym}",
            executions=executions,
            api_key=api_key,
            held_by=held_by,
        )


def head_of(job: NewJob) -> JobHead:
    """A new job as it is read back, as far as it never changes."""
    return JobHead(
        id=job.id,
        account=job.account,
        signer=job.signer,
        spec_id=job.spec_id,
        spec_raw=job.spec_raw,
        spec_sha256=job.spec_sha256,
        benchmark=job.benchmark,
        visibility=job.visibility,
        requester=job.requester,
        min_success_rate=job.min_success_rate,
        min_regions=job.min_regions,
        state=JobState.ENQUEUED,
        version=1,
        created_ms=job.created_ms,
        started_ms=None,
        finished_ms=None,
        deadline_ms=job.deadline_ms,
        held_by=job.held_by,
    )
