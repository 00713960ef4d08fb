"""The receipt: what a hive did in one attempt, signed by the hive (spec/statements 3)."""

from itertools import pairwise
from typing import Annotated, Final, Literal

from msgspec import Meta

from hivemark.errors import InvalidError
from hivemark.protocol.dsse import parse_envelope, sign_envelope, verify_envelope
from hivemark.protocol.ids import hive_id
from hivemark.protocol.jobspec_members import Sampling
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.shape import Base64Key, Count, Name, Positive, Sha256, Shape, ShortText, Time
from hivemark.protocol.statement import (
    Subject,
    encode_statement,
    parse_statement,
    require_reasons,
    require_subject,
)
from hivemark.protocol.times import parse_ms

RECEIPT: Final = "https://hivemark.dev/predicate/receipt/v1"
PREFIX_CHUNKS: Final = 64
_SILENT_NULLS: Final = frozenset({"failure", "question"})


class HiveRef(Shape, frozen=True, kw_only=True):
    """A hive by id and key; the id is derived from the key."""

    id: Name
    public_key: Base64Key

    @classmethod
    def of(cls, public_key: PublicKey) -> "HiveRef":
        """The reference to the hive that holds this key."""
        return cls(id=hive_id(public_key.raw), public_key=public_key.base64)


class Engine(Shape, frozen=True, kw_only=True):
    """The program that computed."""

    name: Name
    version: ShortText | None
    build: ShortText | None
    backend: ShortText | None
    dtype: ShortText | None
    architecture: ShortText | None
    threads: Positive | None


class Model(Shape, frozen=True, kw_only=True):
    """The model that was run; digests are the hive's claim."""

    name: Name
    weights_sha256: Sha256 | None
    tokenizer_sha256: Sha256 | None
    template_sha256: Sha256 | None
    quantisation: ShortText | None


class Prefix(Shape, frozen=True, kw_only=True):
    """The first `bytes` bytes of the output, after `chunks` chunks, under the output's salt."""

    chunks: Positive
    bytes: Count
    commitment: Sha256


class Commitments(Shape, frozen=True, kw_only=True):
    """Salted digests: canonical effective request, output text, canonical list of token ids."""

    request: Sha256
    output: Sha256 | None
    token_ids: Sha256 | None
    prefixes: tuple[Prefix, ...] = ()


class QuestionRef(Shape, frozen=True, kw_only=True):
    """The question asked; `commitment` is over its text, `set_sha256` names a published set."""

    id: Name
    set_sha256: Sha256 | None
    commitment: Sha256 | None


class Usage(Shape, frozen=True, kw_only=True):
    """Tokens as the worker counted them."""

    prompt_tokens: Count
    completion_tokens: Count


class Times(Shape, frozen=True, kw_only=True):
    """The hive's own clock, and the monotonic duration of the attempt in microseconds."""

    started: Time
    first_token: Time | None
    finished: Time
    duration_us: Count


class ClaimedRegion(Shape, frozen=True, kw_only=True):
    """Where the hive says it is."""

    claimed: Name | None


class Failure(Shape, frozen=True, kw_only=True):
    """Why the attempt failed; only a transient failure is tried again."""

    stage: Name
    code: Name
    message: ShortText
    transient: bool


class Receipt(Shape, frozen=True, kw_only=True):
    """The receipt predicate; `absent` gives a reason for every null (spec/statements 2.4)."""

    network: Name
    job: Name
    execution: Name
    attempt: Name
    lease_version: Count
    hive: HiveRef
    grant_sha256: Sha256
    engine: Engine
    model: Model | None
    commitments: Commitments
    question: QuestionRef | None
    sampling: Sampling
    seed: Count
    usage: Usage | None
    times: Times
    region: ClaimedRegion
    outcome: Literal["completed", "failed"]
    finish_reason: Name | None
    failure: Failure | None
    simulated: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    absent: dict[str, Annotated[str, Meta(min_length=1, max_length=1024)]]


def encode_receipt(receipt: Receipt) -> bytes:
    """The statement's canonical bytes; raises `InvalidError` for what `parse_receipt` would refuse."""
    payload = encode_statement(RECEIPT, _subject(receipt), receipt)
    _require_sound(receipt)
    return payload


def parse_receipt(payload: bytes) -> Receipt:
    """Spec/statements 3; raises `InvalidError` naming the member."""
    subject, receipt = parse_statement(payload, RECEIPT, Receipt)
    require_subject(subject, _subject(receipt))
    _require_sound(receipt)
    return receipt


def sign_receipt(receipt: Receipt, hive_key: PrivateKey) -> bytes:
    """The envelope that the hive sends and keeps."""
    assert receipt.hive == HiveRef.of(hive_key.public), "a hive signs only receipts of its own"
    return sign_envelope(encode_receipt(receipt), hive_key)


def verify_receipt(envelope: bytes, hive_key: PublicKey) -> Receipt:
    """The receipt; raises `InvalidError` for its form, `UnverifiedError` for its signature."""
    payload = verify_envelope(parse_envelope(envelope), hive_key)
    receipt = parse_receipt(payload)
    if receipt.hive != HiveRef.of(hive_key):
        raise InvalidError("the receipt names another hive", code="hive_mismatch", field="predicate.hive")
    return receipt


def _subject(receipt: Receipt) -> Subject:
    """The output when there is one, else the grant that was not fulfilled (3.3)."""
    output = receipt.commitments.output
    return Subject.of("grant", receipt.grant_sha256) if output is None else Subject.of("output", output)


def _require_sound(receipt: Receipt) -> None:
    _require_consistent(receipt)
    require_reasons(receipt, receipt.absent, silent=_SILENT_NULLS)


def _require_consistent(receipt: Receipt) -> None:
    require_hive_id(receipt.hive)
    for name in ("started", "first_token", "finished"):
        text = getattr(receipt.times, name)
        if text is not None:
            parse_ms(text, field=f"predicate.times.{name}")
    if (receipt.failure is None) != (receipt.outcome == "completed"):
        raise InvalidError(
            "stands for failed attempts only", code="member_invalid", field="predicate.failure"
        )
    if receipt.outcome == "completed" and receipt.commitments.output is None:
        raise InvalidError(
            "a completed attempt has an output", code="member_invalid", field="predicate.commitments.output"
        )
    for before, after in pairwise(receipt.commitments.prefixes):
        if after.chunks <= before.chunks or after.bytes < before.bytes:
            raise InvalidError("prefixes grow", code="member_invalid", field="predicate.commitments.prefixes")


def require_hive_id(hive: HiveRef) -> PublicKey:
    """The hive's key; raises `InvalidError` with code `hive_id_mismatch` unless the id is the key's."""
    key = PublicKey.from_base64(hive.public_key, field="predicate.hive.public_key")
    if hive.id != hive_id(key.raw):
        raise InvalidError("this id is not the key's", code="hive_id_mismatch", field="predicate.hive.id")
    return key
