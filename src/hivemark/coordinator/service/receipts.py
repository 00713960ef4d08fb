"""Whether a posted result is what its lease asked for: pure checks over values (docs/spec/http.md 6)."""

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from hivemark.api.link import OUTPUT_BYTES_PER_TOKEN_MAX, Disclosure, ResultFrame
from hivemark.coordinator.ports import AttemptRow, ExecutionRow, HiveRow
from hivemark.coordinator.service.statements import Seen
from hivemark.errors import HivemarkError, InvalidError, UnverifiedError
from hivemark.jobs.request import without_body
from hivemark.protocol.acceptance import Delivered
from hivemark.protocol.base64strict import decode_base64
from hivemark.protocol.bundle import Disclosed, DisclosedOutput, DisclosedRequest, DisclosedTokenIds
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import SALT_BYTES, commit, verify_commitment
from hivemark.protocol.keys import PublicKey
from hivemark.protocol.receipt import Receipt, Usage, verify_receipt
from hivemark.protocol.strictjson import JsonObject

PROMPT_TOKENS_SPARE: Final = 64
"""What a chat template may add; a token of the text itself has at least one byte."""
CALL_PROMPT_TOKENS_SPARE: Final = 1_024
"""What a template may add that describes tools to a model."""
COMPLETION_TOKENS_SPARE: Final = 4
"""What an answer may have beyond its bytes: the end token, and a character that was cut off."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was relayed of a call: all that came of its output, what of it the client was given, and how many
    bytes a model said in all. `salt` is drawn here, for a commitment to what was given."""

    output: str
    delivered: str
    is_complete: bool
    heard_bytes: int
    given_tokens: int
    salt: bytes

    def is_delivered(self, receipt: Receipt) -> bool:
        """Whether the client was given all of a completed answer."""
        return receipt.outcome == "completed" and self.is_complete and self.delivered == self.output


@dataclass(frozen=True, slots=True)
class Asked:
    """What the lease asked for: the receipt has to say the same. `heard` stands for calls: None where nobody
    here remembers the stream."""

    network: str
    hive: HiveRow
    attempt: AttemptRow
    execution: ExecutionRow
    request: JsonObject
    is_call: bool = False
    heard: Heard | None = None


@dataclass(frozen=True, slots=True)
class CheckedResult:
    """A result that holds: the receipt, what the coordinator saw, what it keeps of it."""

    receipt: Receipt
    envelope: bytes
    envelope_sha256: str
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
        if asked.is_call:
            disclosed = _open_call(receipt, frame.disclosure, asked)  # 6.2.4
        else:
            disclosed = _open(receipt, frame.disclosure, asked.request)
        _require_bounds(receipt, disclosed, asked)  # 6.2.5
    except HivemarkError as error:
        raise ReceiptRefused(error) from error
    delivered = _delivered(receipt, disclosed, asked)
    said_bytes = asked.heard.heard_bytes if asked.heard else delivered.bytes if delivered else 0
    digest = hashlib.sha256(envelope).hexdigest()
    seen = Seen(
        receipt=envelope,
        receipt_sha256=digest,
        delivered=delivered,
        usage=_accepted_usage(receipt.usage, said_bytes),
    )
    return CheckedResult(receipt, envelope, digest, seen=seen, disclosed=disclosed)


def cut_short(heard: Heard) -> tuple[Delivered, DisclosedOutput]:
    """What a client was given of an answer that was cut off, under a salt of this side's own: no receipt
    commits to just these bytes."""
    content = heard.delivered.encode()
    delivered = Delivered(bytes=len(content), commitment=commit(heard.salt, content))
    return delivered, DisclosedOutput(text=None, salt=heard.salt)


def _delivered(receipt: Receipt, disclosed: Disclosed, asked: Asked) -> Delivered | None:
    commitment, heard = receipt.commitments.output, asked.heard
    if heard is not None and not heard.is_delivered(receipt):
        return cut_short(heard)[0] if heard.delivered or receipt.outcome == "completed" else None
    if commitment is None or (asked.is_call and heard is None):
        return None
    if heard is not None:
        return Delivered(bytes=len(heard.output.encode()), commitment=commitment)
    assert disclosed.output is not None and disclosed.output.text is not None, "it was opened"
    return Delivered(bytes=len(disclosed.output.text.encode()), commitment=commitment)


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


def _open_call(receipt: Receipt, disclosure: Disclosure, asked: Asked) -> Disclosed:
    """As `_open`; the texts are those that were relayed, and none of them is kept. Where nobody remembers
    the stream, the salts are taken as they are: the grant binds the request all the same."""
    request_salt = _salt(disclosure.request_salt, "request_salt")
    if "call" in asked.request:
        content = encode_canonical(asked.request)
        verify_commitment(
            receipt.commitments.request, salt=request_salt, content=content, code="request_commitment"
        )
    output = token_ids = None
    if receipt.commitments.output is not None:
        salt = _salt(disclosure.output_salt, "output_salt")
        output = DisclosedOutput(text=None, salt=salt)
        if asked.heard is not None:
            _require_heard(receipt, asked.heard, salt)
    if receipt.commitments.token_ids is not None:
        token_ids = DisclosedTokenIds(value=None, salt=_salt(disclosure.token_ids_salt, "token_ids_salt"))
    is_cut = asked.heard is not None and not asked.heard.is_delivered(receipt)
    return Disclosed(
        request=DisclosedRequest(
            value=without_body(asked.request) if "call" in asked.request else None, salt=request_salt
        ),
        output=output,
        token_ids=token_ids,
        delivered=cut_short(asked.heard)[1] if asked.heard is not None and is_cut else None,
    )


def _require_heard(receipt: Receipt, heard: Heard, salt: bytes) -> None:
    """The hive signed for what it sent: for all of it, or for something that begins with it."""
    content = heard.output.encode()
    if heard.is_complete and receipt.outcome == "completed":
        assert receipt.commitments.output is not None
        verify_commitment(receipt.commitments.output, salt=salt, content=content, code="output_commitment")
    for prefix in receipt.commitments.prefixes:
        if prefix.bytes <= len(content):
            verify_commitment(
                prefix.commitment, salt=salt, content=content[: prefix.bytes], code="output_commitment"
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


def _require_bounds(receipt: Receipt, disclosed: Disclosed, asked: Asked) -> None:
    """What is more than the request can hold is not cut or billed, it is refused."""
    output = disclosed.output
    if (
        output is not None
        and output.text is not None
        and len(output.text.encode()) > (receipt.sampling.max_tokens * OUTPUT_BYTES_PER_TOKEN_MAX)
    ):
        raise UnverifiedError(
            "a longer output than the tokens asked for can make",
            code="output_out_of_bounds",
            field="disclosure.output",
        )
    token_ids = disclosed.token_ids
    if (
        token_ids is not None
        and token_ids.value is not None
        and len(token_ids.value) > receipt.sampling.max_tokens
    ):
        raise UnverifiedError(
            "more tokens than were asked for", code="usage_out_of_bounds", field="disclosure.token_ids"
        )
    usage = receipt.usage
    if usage is None:
        return
    # A call without a limit may make what its model holds, and is billed as far as its hold.
    completion_max = None if asked.is_call else receipt.sampling.max_tokens
    prompt_max = _prompt_tokens_max(asked)
    if _is_over(usage.prompt_tokens, prompt_max) or _is_over(usage.completion_tokens, completion_max):
        raise UnverifiedError(
            "more tokens than the request can hold", code="usage_out_of_bounds", field="predicate.usage"
        )


def _is_over(count: int, most: int | None) -> bool:
    return most is not None and count > most


def _prompt_tokens_max(asked: Asked) -> int | None:
    """No vocabulary has more tokens than bytes. None where the body of a call is not known any more."""
    if not asked.is_call:
        return sum(map(len, message_texts(asked.request))) + PROMPT_TOKENS_SPARE
    call = asked.request.get("call")
    if not isinstance(call, dict):
        return None
    return len(encode_canonical(call["body"])) + CALL_PROMPT_TOKENS_SPARE


def _accepted_usage(usage: Usage | None, said_bytes: int) -> Usage | None:
    """What is billed: the hive's count, as far as the answer that came can hold it."""
    if usage is None:
        return None
    completion_max = said_bytes + COMPLETION_TOKENS_SPARE
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
