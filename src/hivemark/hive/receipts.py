"""From what was attempted to the signed result: pure, given the salts (docs/spec/statements 3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from hivemark.api.link import Disclosure, Lease, ResultFrame
from hivemark.hive.request import EffectiveRequest
from hivemark.hive.runner import Attempted
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import SALT_BYTES, commit
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import (
    ClaimedRegion,
    Commitments,
    HiveRef,
    QuestionRef,
    Receipt,
    Times,
    sign_receipt,
)
from hivemark.protocol.shape import from_shape
from hivemark.protocol.statement import null_paths
from hivemark.protocol.times import format_ms

_SILENT: Final = frozenset({"failure", "question"})
_NOT_TOLD: Final = "not told by the engine"
_REASONS: Final = {
    "model": "a no-op runs no model",
    "commitments.output": "there is no output",
    "commitments.token_ids": "the engine told no token ids",
    "question.set_sha256": "the question was posted in full",
    "question.commitment": "the question stands in a published set",
    "times.first_token": "there was no token",
    "finish_reason": "the attempt failed",
    "region.claimed": "not stated",
}


@dataclass(frozen=True, slots=True)
class Salts:
    """Fresh for each attempt, kept with the texts they hide."""

    request: bytes
    output: bytes
    token_ids: bytes
    question: bytes

    @classmethod
    def draw(cls, random: Callable[[int], bytes]) -> "Salts":
        """Four independent ones."""
        return cls(*(random(SALT_BYTES) for _ in range(4)))


@dataclass(frozen=True, slots=True)
class ReceiptContext:
    """What is the same for all receipts of a hive."""

    key: PrivateKey
    network: str
    region: str | None
    simulated: tuple[str, ...]


def build_result(
    context: ReceiptContext,
    lease: Lease,
    request: EffectiveRequest,
    attempted: Attempted,
    *,
    grant_sha256: str,
    salts: Salts,
) -> ResultFrame:
    """The signed receipt with what opens its commitments. `attempted` used `salts.output`."""
    yielded = _yielded(attempted)
    receipt = _receipt(context, lease, request, attempted, yielded, grant_sha256=grant_sha256, salts=salts)
    return ResultFrame(
        attempt=lease.attempt,
        lease_version=lease.lease_version,
        envelope=encode_base64(sign_receipt(receipt, context.key)),
        disclosure=_disclosure(request, yielded, salts),
    )


@dataclass(frozen=True, slots=True)
class _Yielded:
    """What there is to commit to."""

    output: str | None
    token_ids: tuple[int, ...] | None


def _yielded(attempted: Attempted) -> _Yielded:
    recording = attempted.recording
    output = recording.output
    if attempted.failure is not None and not output:
        return _Yielded(None, None)
    return _Yielded(output, None if recording.token_ids is None else tuple(recording.token_ids))


def _disclosure(request: EffectiveRequest, yielded: _Yielded, salts: Salts) -> Disclosure:
    """The texts of a call were relayed already, and are to lie nowhere: only its salts are disclosed."""
    is_call = request.call is not None
    return Disclosure(
        request_salt=encode_base64(salts.request),
        output=None if is_call else yielded.output,
        output_salt=None if yielded.output is None else encode_base64(salts.output),
        token_ids=None if is_call else yielded.token_ids,
        token_ids_salt=None if yielded.token_ids is None else encode_base64(salts.token_ids),
        question_salt=encode_base64(salts.question) if _posted_question(request) else None,
    )


def _receipt(
    context: ReceiptContext,
    lease: Lease,
    request: EffectiveRequest,
    attempted: Attempted,
    yielded: _Yielded,
    *,
    grant_sha256: str,
    salts: Salts,
) -> Receipt:
    failure = attempted.failure
    receipt = Receipt(
        network=context.network,
        job=lease.job,
        execution=lease.execution,
        attempt=lease.attempt,
        lease_version=lease.lease_version,
        hive=HiveRef.of(context.key.public),
        grant_sha256=grant_sha256,
        engine=attempted.facts.engine,
        model=attempted.facts.model,
        commitments=_commitments(lease, attempted, yielded, salts),
        question=_question(request, salts),
        sampling=request.sampling,
        seed=request.seed,
        usage=attempted.recording.usage,
        times=_times(attempted),
        region=ClaimedRegion(claimed=context.region),
        outcome="completed" if failure is None else "failed",
        finish_reason=attempted.recording.finish_reason if failure is None else None,
        failure=None if failure is None else failure.as_failure(),
        simulated=context.simulated,
        absent={},
    )
    return msgspec.structs.replace(receipt, absent=_reasons(receipt))


def _commitments(lease: Lease, attempted: Attempted, yielded: _Yielded, salts: Salts) -> Commitments:
    token_ids, output = yielded.token_ids, yielded.output
    return Commitments(
        request=commit(salts.request, encode_canonical(lease.request)),
        output=None if output is None else commit(salts.output, output.encode()),
        token_ids=None if token_ids is None else commit(salts.token_ids, encode_canonical(list(token_ids))),
        prefixes=tuple(attempted.recording.prefixes),
    )


def _question(request: EffectiveRequest, salts: Salts) -> QuestionRef | None:
    """Its commitment is over the last user message; a published one is named by its set instead."""
    question = request.question
    if question is None:
        return None
    text = _posted_question(request)
    return QuestionRef(
        id=question.id,
        set_sha256=question.set_sha256,
        commitment=None if text is None else commit(salts.question, text.encode()),
    )


def _posted_question(request: EffectiveRequest) -> str | None:
    if request.question is None or request.question.set_sha256 is not None:
        return None
    return next((m.content for m in reversed(request.messages) if m.role == "user"), None)


def _times(attempted: Attempted) -> Times:
    first_token_ms = attempted.first_token_ms
    return Times(
        started=format_ms(attempted.started_ms),
        first_token=None if first_token_ms is None else format_ms(first_token_ms),
        finished=format_ms(attempted.finished_ms),
        duration_us=attempted.duration_us,
    )


def _reasons(receipt: Receipt) -> dict[str, str]:
    """A reason for every null, as the statement asks for (2.4)."""
    paths = set(null_paths(from_shape(receipt))) - _SILENT
    return {path: _REASONS.get(path, _NOT_TOLD) for path in sorted(paths)}
