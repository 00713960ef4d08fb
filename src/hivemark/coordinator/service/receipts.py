"""Whether a posted result is what its lease asked for: pure checks over values (docs/spec/http.md 6)."""

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from hivemark.api.link import OUTPUT_BYTES_PER_TOKEN_MAX, Disclosure, ResultFrame
from hivemark.coordinator.ports import AttemptRow, ExecutionRow, HiveRow
from hivemark.coordinator.service.statements import Seen
from hivemark.errors import HivemarkError, InvalidError, UnverifiedError
from hivemark.protocol.acceptance import Delivered
from hivemark.protocol.base64strict import decode_base64
from hivemark.protocol.bundle import Disclosed, DisclosedOutput, DisclosedRequest, DisclosedTokenIds
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import SALT_BYTES, verify_commitment
from hivemark.protocol.keys import PublicKey
from hivemark.protocol.receipt import Receipt, Usage, verify_receipt
from hivemark.protocol.strictjson import JsonObject

PROMPT_TOKENS_SPARE: Final = 64
"""What a chat template may add; a token of the text itself has at least one byte."""
COMPLETION_TOKENS_SPARE: Final = 4
"""What an answer may have beyond its bytes: the end token, and a character that was cut off."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the lease asked for: the receipt has to say the same."""

    network: str
    hive: HiveRow
    attempt: AttemptRow
    execution: ExecutionRow
    request: JsonObject


@dataclass(frozen=True, slots=True)
class CheckedResult:
    """A result that holds: the receipt, what the coordinator saw, what it keeps of it."""

    receipt: Receipt
    seen: Seen
    disclosed: Disclosed


class ReceiptRefused(UnverifiedError):
    """A posted result does not hold; `reason` is the code of the check that failed."""

    def __init__(self, error: HivemarkError) -> None:
        self.reason = error.code
        super().__init__(error.message, code=f"receipt_{error.code}", field=error.field)


def verify_result(frame: ResultFrame, asked: Asked) -> CheckedResult:
    """Spec/http 6.2; raises `ReceiptRefused` and nothing else."""
    try:
        envelope = decode_base64(frame.envelope, field="envelope")
        receipt = verify_receipt(envelope, PublicKey.from_base64(asked.hive.public_key))  # 6.2.1
        _require_lease(receipt, asked)  # 6.2.2
        _require_request(receipt, asked)  # 6.2.3
        disclosed = _open(receipt, frame.disclosure, asked.request)  # 6.2.4
        _require_bounds(receipt, disclosed, asked.request)  # 6.2.5
    except HivemarkError as error:
        raise ReceiptRefused(error) from error
    output = disclosed.output
    commitment = receipt.commitments.output
    delivered = (
        Delivered(bytes=len(output.text.encode()), commitment=commitment)
        if output is not None and commitment is not None
        else None
    )
    seen = Seen(
        receipt=envelope,
        receipt_sha256=hashlib.sha256(envelope).hexdigest(),
        delivered=delivered,
        usage=_accepted_usage(receipt.usage, delivered),
    )
    return CheckedResult(receipt=receipt, seen=seen, disclosed=disclosed)


def _require_lease(receipt: Receipt, asked: Asked) -> None:
    attempt = asked.attempt
    for name, said, leased in (
        ("network", receipt.network, asked.network),
        ("job", receipt.job, attempt.job),
        ("execution", receipt.execution, attempt.execution),
        ("attempt", receipt.attempt, attempt.id),
        ("lease_version", receipt.lease_version, attempt.lease_version),
        ("grant_sha256", receipt.grant_sha256, attempt.grant_sha256),
        ("region.claimed", receipt.region.claimed, asked.hive.region),
    ):
        if said != leased:
            raise UnverifiedError(
                f"the lease has {leased}, the receipt {said}",
                code="lease_mismatch",
                field=f"predicate.{name}",
            )
    wanted = asked.execution.region
    if wanted is not None and receipt.region.claimed != wanted:  # a hive may change its claim, not the cell's
        raise UnverifiedError(
            f"leased for {wanted}, run in {receipt.region.claimed}",
            code="lease_mismatch",
            field="predicate.region.claimed",
        )


def _require_request(receipt: Receipt, asked: Asked) -> None:
    """Model, question, sampling and seed are the leased ones; nothing may be substituted."""
    execution, request = asked.execution, asked.request
    model = None if receipt.model is None else receipt.model.name
    if model != execution.model_name:
        raise UnverifiedError(
            f"leased for {execution.model_name}, run on {model}",
            code="model_mismatch",
            field="predicate.model",
        )
    weights = receipt.model.weights_sha256 if receipt.model is not None else None
    if execution.weights_sha256 is not None and weights != execution.weights_sha256:
        raise UnverifiedError(
            "these are not the weights of the lease",
            code="model_mismatch",
            field="predicate.model.weights_sha256",
        )
    sampling = {
        "temperature": receipt.sampling.temperature,
        "top_p": receipt.sampling.top_p,
        "max_tokens": receipt.sampling.max_tokens,
        "stop": list(receipt.sampling.stop),
    }
    if sampling != request["sampling"] or receipt.seed != request["seed"]:
        raise UnverifiedError(
            "sampling or seed are not the leased ones", code="request_mismatch", field="predicate.sampling"
        )
    question = request["question"]
    asked_for = (question["id"], question["set_sha256"]) if isinstance(question, dict) else None
    answered = (receipt.question.id, receipt.question.set_sha256) if receipt.question else None
    if answered != asked_for:
        raise UnverifiedError(
            "another question was asked", code="request_mismatch", field="predicate.question"
        )


def _open(receipt: Receipt, disclosure: Disclosure, request: JsonObject) -> Disclosed:
    """Every commitment opens with the salts that came along, and hides what it should."""
    commitments = receipt.commitments
    request_salt = _salt(disclosure.request_salt, "request_salt")
    verify_commitment(
        commitments.request, salt=request_salt, content=encode_canonical(request), code="request_commitment"
    )
    output = _open_output(receipt, disclosure)
    token_ids = _open_token_ids(receipt, disclosure)
    _open_question(receipt, disclosure, request)
    return Disclosed(
        request=DisclosedRequest(value=request, salt=request_salt), output=output, token_ids=token_ids
    )


def _open_output(receipt: Receipt, disclosure: Disclosure) -> DisclosedOutput | None:
    commitment = receipt.commitments.output
    if commitment is None:
        return None
    if disclosure.output is None:
        raise InvalidError("the output is missing", code="disclosure_missing", field="disclosure.output")
    salt = _salt(disclosure.output_salt, "output_salt")
    content = disclosure.output.encode()
    verify_commitment(commitment, salt=salt, content=content, code="output_commitment")
    for prefix in receipt.commitments.prefixes:
        if prefix.bytes > len(content):
            raise UnverifiedError("a prefix is longer than the output", code="output_commitment")
        verify_commitment(
            prefix.commitment, salt=salt, content=content[: prefix.bytes], code="output_commitment"
        )
    return DisclosedOutput(text=disclosure.output, salt=salt)


def _open_token_ids(receipt: Receipt, disclosure: Disclosure) -> DisclosedTokenIds | None:
    commitment = receipt.commitments.token_ids
    if commitment is None:
        return None
    if disclosure.token_ids is None:
        raise InvalidError(
            "the token ids are missing", code="disclosure_missing", field="disclosure.token_ids"
        )
    salt = _salt(disclosure.token_ids_salt, "token_ids_salt")
    content = encode_canonical(list(disclosure.token_ids))
    verify_commitment(commitment, salt=salt, content=content, code="token_ids_commitment")
    return DisclosedTokenIds(value=disclosure.token_ids, salt=salt)


def _open_question(receipt: Receipt, disclosure: Disclosure, request: JsonObject) -> None:
    question = receipt.question
    if question is None or (question.commitment is None and question.set_sha256 is not None):
        return
    if question.commitment is None:
        raise UnverifiedError(
            "nothing names the question's text", code="question_commitment", field="predicate.question"
        )
    salt = _salt(disclosure.question_salt, "question_salt")
    verify_commitment(
        question.commitment, salt=salt, content=_question_text(request), code="question_commitment"
    )


def _require_bounds(receipt: Receipt, disclosed: Disclosed, request: JsonObject) -> None:
    """What is more than the request can hold is not cut or billed, it is refused."""
    output = disclosed.output
    if output is not None and len(output.text.encode()) > (
        receipt.sampling.max_tokens * OUTPUT_BYTES_PER_TOKEN_MAX
    ):
        raise UnverifiedError(
            "a longer output than the tokens asked for can make",
            code="output_out_of_bounds",
            field="disclosure.output",
        )
    token_ids = disclosed.token_ids
    if token_ids is not None and len(token_ids.value) > receipt.sampling.max_tokens:
        raise UnverifiedError(
            "more tokens than were asked for", code="usage_out_of_bounds", field="disclosure.token_ids"
        )
    usage = receipt.usage
    if usage is None:
        return
    prompt_max = sum(map(len, message_texts(request))) + PROMPT_TOKENS_SPARE
    if usage.prompt_tokens > prompt_max or usage.completion_tokens > receipt.sampling.max_tokens:
        raise UnverifiedError(
            "more tokens than the request can hold", code="usage_out_of_bounds", field="predicate.usage"
        )


def _accepted_usage(usage: Usage | None, delivered: Delivered | None) -> Usage | None:
    """What is billed: the hive's count, as far as the answer that came can hold it."""
    if usage is None:
        return None
    completion_max = (delivered.bytes if delivered else 0) + COMPLETION_TOKENS_SPARE
    return msgspec.structs.replace(usage, completion_tokens=min(usage.completion_tokens, completion_max))


def message_texts(request: JsonObject) -> list[bytes]:
    """The UTF-8 of every message's text."""
    messages = request["messages"]
    assert isinstance(messages, list)
    return [str(message["content"]).encode() for message in messages if isinstance(message, dict)]


def _question_text(request: JsonObject) -> bytes:
    return message_texts(request)[-1]


def _salt(text: str | None, name: str) -> bytes:
    if text is None:
        raise InvalidError("the salt is missing", code="disclosure_missing", field=f"disclosure.{name}")
    return decode_base64(text, length=SALT_BYTES, field=f"disclosure.{name}")
