"""Rows into the bodies of `api/http.py`; nothing is decided here."""

import json
from collections.abc import Sequence

from hivemark.api.http import (
    ApiKeyBody,
    CreditsBody,
    ExecutionBody,
    FailureBody,
    HiveBody,
    HiveModelBody,
    JobBody,
    KeyBody,
    ModelBody,
    ModelRefBody,
    PriceBody,
    ProgressBody,
    QuestionRefBody,
    RegionBody,
    UsageBody,
)
from hivemark.coordinator.ports import ApiKey, HiveRow, TrustedKey
from hivemark.coordinator.service.jobs import ExecutionView, JobView
from hivemark.coordinator.service.models import OfferedModel
from hivemark.credits.price import Price, format_credits
from hivemark.protocol.receipt import Receipt
from hivemark.protocol.times import format_ms


def job_body(view: JobView, executions: Sequence[ExecutionView] | None = None) -> JobBody:
    job = view.job
    progress = job.progress
    return JobBody(
        id=job.id,
        spec_id=job.spec_id,
        benchmark=job.benchmark,
        state=job.state.value,
        status=job.state.value,
        visibility=job.visibility,
        created_at=format_ms(job.created_ms),
        started_at=_time(job.started_ms),
        finished_at=_time(job.finished_ms),
        deadline_at=format_ms(job.deadline_ms),
        spec_sha256=job.spec_sha256,
        progress=ProgressBody(
            cells=progress.cells,
            queued=progress.queued,
            leased=progress.leased,
            running=progress.running,
            completed=progress.completed,
            failed=progress.failed,
            dead=progress.dead,
            cancelled=progress.cancelled,
        ),
        min_success_rate=job.min_success_rate,
        min_regions=job.min_regions,
        credits=CreditsBody(held=format_credits(job.held_micro), settled=format_credits(job.settled_micro)),
        waiting_for=list(view.waiting_for),
        executions=None if executions is None else [execution_body(view) for view in executions],
    )


def execution_body(view: ExecutionView) -> ExecutionBody:
    row, attempt, receipt = view.execution, view.attempt, view.receipt
    return ExecutionBody(
        id=row.id,
        job=row.job,
        ordinal=row.ordinal,
        question=None
        if view.question_id is None
        else QuestionRefBody(id=view.question_id, category=view.category),
        persona=view.persona,
        model=None
        if row.model_name is None
        else ModelRefBody(name=row.model_name, weights_sha256=row.weights_sha256),
        region=_region(view),
        arm=view.arm,
        repeat=row.repeat,
        replica=row.replica,
        state=row.state.value,
        attempts=row.attempts,
        attempt=attempt.id if attempt else None,
        hive=attempt.hive if attempt else None,
        output=view.output,
        finish_reason=receipt.finish_reason if receipt else None,
        usage=_usage(receipt),
        failure=_failure(row.failure, receipt),
        queued_at=format_ms(row.queued_ms),
        started_at=_time(attempt.started_ms) if attempt else None,
        finished_at=_time(row.finished_ms),
        duration_ms=receipt.times.duration_us / 1000 if receipt else None,
        tokens_per_s=_tokens_per_s(receipt),
        receipt_sha256=attempt.receipt_sha256 if attempt else None,
        log_index=view.log_index,
        simulated=list(receipt.simulated) if receipt else [],
    )


def hive_body(hive: HiveRow, *, running: int) -> HiveBody:
    return HiveBody(
        id=hive.id,
        name=hive.name,
        region=hive.region,
        status=hive.status,
        linked=hive.linked,
        draining=hive.draining,
        slots=hive.slots,
        running=running,
        enrolled_at=format_ms(hive.enrolled_ms),
        last_contact_at=_time(hive.last_contact_ms),
        models=[
            HiveModelBody(
                name=model.name,
                weights_sha256=model.weights_sha256,
                engine=model.engine,
                quantisation=model.quantisation,
                loaded=model.loaded,
            )
            for model in hive.models
        ],
        devices=list(hive.devices),
        simulated=list(hive.simulated),
    )


def model_body(offered: OfferedModel, price: Price) -> ModelBody:
    model = offered.model
    return ModelBody(
        name=model.name,
        weights_sha256=model.weights_sha256,
        pinned=model.weights_sha256 is not None,
        engine=model.engine,
        quantisation=model.quantisation,
        context_tokens=model.context_tokens,
        bytes=model.bytes,
        hives=offered.hives,
        loaded=offered.loaded,
        price=PriceBody(
            prompt=format_credits(price.micro_per_prompt_token),
            completion=format_credits(price.micro_per_completion_token),
        ),
    )


def key_body(key: TrustedKey) -> KeyBody:
    return KeyBody(
        public_key=key.public_key,
        account=key.account,
        key_id=key.key_id,
        status=key.status,
        added_at=format_ms(key.added_ms),
    )


def api_key_body(key: ApiKey, *, now_ms: int) -> ApiKeyBody:
    expired = key.expires_ms is not None and key.expires_ms <= now_ms
    return ApiKeyBody(
        id=key.id,
        account=key.account,
        name=key.name,
        token_start=key.token_start,
        status="revoked" if key.revoked_ms is not None else "expired" if expired else "active",
        scopes=list(key.scopes),
        models=None if key.models is None else list(key.models),
        budget=None if key.budget_micro is None else format_credits(key.budget_micro),
        spent=format_credits(key.spent_micro),
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        created_at=format_ms(key.created_ms),
        expires_at=_time(key.expires_ms),
        revoked_at=_time(key.revoked_ms),
        last_used_at=_time(key.last_used_ms),
    )


def _region(view: ExecutionView) -> RegionBody:
    """What is known of where it ran: the claim of its hive; before that, what the cell asks for."""
    claimed = view.receipt.region.claimed if view.receipt else view.execution.region
    return RegionBody(
        claimed=claimed, observed=None, verified=False, level="claimed", method=None, evidence=None
    )


def _usage(receipt: Receipt | None) -> UsageBody | None:
    usage = receipt.usage if receipt else None
    if usage is None:
        return None
    return UsageBody(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)


def _failure(stored: str | None, receipt: Receipt | None) -> FailureBody | None:
    if stored is not None:
        return FailureBody.model_validate(json.loads(stored))
    if receipt is not None and receipt.failure is not None:
        failure = receipt.failure
        return FailureBody(
            stage=failure.stage, code=failure.code, message=failure.message, transient=failure.transient
        )
    return None


def _tokens_per_s(receipt: Receipt | None) -> float | None:
    """Completion tokens over the whole duration, as the receipt states both."""
    if receipt is None or receipt.usage is None or receipt.times.duration_us == 0:
        return None
    return round(receipt.usage.completion_tokens * 1e6 / receipt.times.duration_us, 3)


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_ms(at_ms)
