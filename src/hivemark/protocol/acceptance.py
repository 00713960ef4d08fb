"""The acceptance: what the coordinator saw of one attempt, signed by the service key (spec/statements 4)."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from hivemark.errors import InvalidError
from hivemark.protocol.dsse import parse_envelope, sign_envelope, verify_envelope
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.receipt import HiveRef, Usage, require_hive_id
from hivemark.protocol.shape import Count, Name, Sha256, Shape, ShortText, Time
from hivemark.protocol.statement import (
    Subject,
    encode_statement,
    parse_statement,
    require_reasons,
    require_subject,
)
from hivemark.protocol.times import parse_ms

ACCEPTANCE: Final = "https://hivemark.dev/predicate/acceptance/v1"
ATTEMPTS_MAX: Final = 3
_VERIFIED_LEVELS: Final = frozenset({"consistent", "attested"})
_WITH_RECEIPT: Final = frozenset({"accepted", "late"})
_WITHOUT_RECEIPT: Final = frozenset({"lost", "no_receipt"})


class SpecRef(Shape, frozen=True, kw_only=True):
    """The request as received: digest of its signed message, digest of the posted bytes, when."""

    sha256: Sha256
    received_sha256: Sha256
    received_at: Time


class AcceptedTimes(Shape, frozen=True, kw_only=True):
    """The coordinator's clock."""

    queued: Time
    leased: Time
    finished: Time


class RegionEvidence(Shape, frozen=True, kw_only=True):
    """How far the claimed region is supported; `verified` means level consistent or attested."""

    claimed: Name | None
    observed: Name | None
    verified: bool
    level: Literal["claimed", "observed", "consistent", "attested"]
    method: ShortText | None
    evidence: dict[str, str | int | float] | None


class Delivered(Shape, frozen=True, kw_only=True):
    """Length of the output that reached the coordinator, and the commitment it was checked against."""

    bytes: Count
    commitment: Sha256


class Acceptance(Shape, frozen=True, kw_only=True):
    """The acceptance predicate; `absent` gives a reason for every null (spec/statements 2.4)."""

    network: Name
    job: Name
    execution: Name
    attempt: Name
    number: Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)]
    spec: SpecRef
    requester: Name
    grant_sha256: Sha256
    hive: HiveRef
    times: AcceptedTimes
    region: RegionEvidence
    delivered: Delivered | None
    usage: Usage | None
    outcome: Literal["accepted", "late", "lost", "cut", "no_receipt"]
    receipt_sha256: Sha256 | None
    absent: dict[str, Annotated[str, Meta(min_length=1, max_length=1024)]]


def encode_acceptance(acceptance: Acceptance) -> bytes:
    """The statement's canonical bytes; raises `InvalidError` for what `parse_acceptance` would refuse."""
    payload = encode_statement(ACCEPTANCE, _subject(acceptance), acceptance)
    _require_sound(acceptance)
    return payload


def parse_acceptance(payload: bytes) -> Acceptance:
    """Spec/statements 4; raises `InvalidError` naming the member."""
    subject, acceptance = parse_statement(payload, ACCEPTANCE, Acceptance)
    require_subject(subject, _subject(acceptance))
    _require_sound(acceptance)
    return acceptance


def sign_acceptance(acceptance: Acceptance, service_key: PrivateKey) -> bytes:
    """The envelope that goes into the log entry."""
    return sign_envelope(encode_acceptance(acceptance), service_key)


def verify_acceptance(envelope: bytes, service_key: PublicKey) -> Acceptance:
    """The acceptance; raises `InvalidError` for its form, `UnverifiedError` for its signature."""
    return parse_acceptance(verify_envelope(parse_envelope(envelope), service_key))


def _subject(acceptance: Acceptance) -> Subject:
    if acceptance.receipt_sha256 is None:
        return Subject.of("grant", acceptance.grant_sha256)
    return Subject.of("receipt", acceptance.receipt_sha256)


def _require_sound(acceptance: Acceptance) -> None:
    _require_consistent(acceptance)
    require_reasons(acceptance, acceptance.absent, silent=frozenset())


def _require_consistent(acceptance: Acceptance) -> None:
    require_hive_id(acceptance.hive)
    for name in ("queued", "leased", "finished"):
        parse_ms(getattr(acceptance.times, name), field=f"predicate.times.{name}")
    parse_ms(acceptance.spec.received_at, field="predicate.spec.received_at")
    if acceptance.region.verified != (acceptance.region.level in _VERIFIED_LEVELS):
        raise InvalidError(
            "verified means level consistent or attested",
            code="member_invalid",
            field="predicate.region.verified",
        )
    has_receipt = acceptance.receipt_sha256 is not None
    forbidden = _WITHOUT_RECEIPT if has_receipt else _WITH_RECEIPT
    if acceptance.outcome in forbidden:
        raise InvalidError(
            f"outcome {acceptance.outcome} {'has no' if has_receipt else 'needs a'} receipt",
            code="member_invalid",
            field="predicate.receipt_sha256",
        )
