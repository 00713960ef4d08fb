"""The enrolment statement: a hive joined or was revoked, signed by the service key (spec/statements 5)."""

import hashlib
from typing import Annotated, Final, Literal

from msgspec import Meta

from hivemark.protocol.dsse import parse_envelope, sign_envelope, verify_envelope
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.receipt import ClaimedRegion, HiveRef, require_hive_id
from hivemark.protocol.shape import Name, Shape, Time
from hivemark.protocol.statement import (
    Subject,
    encode_statement,
    parse_statement,
    require_reasons,
    require_subject,
)
from hivemark.protocol.times import parse_ms

ENROLMENT: Final = "https://hivemark.dev/predicate/enrolment/v1"


class Enrolment(Shape, frozen=True, kw_only=True):
    """The enrolment predicate; `absent` gives a reason for every null (spec/statements 2.4)."""

    network: Name
    event: Literal["enrolled", "revoked"]
    hive: HiveRef
    at: Time
    region: ClaimedRegion
    absent: dict[str, Annotated[str, Meta(min_length=1, max_length=1024)]]


def encode_enrolment(enrolment: Enrolment) -> bytes:
    """The statement's canonical bytes; raises `InvalidError` for what `parse_enrolment` would refuse."""
    payload = encode_statement(ENROLMENT, _subject(enrolment), enrolment)
    _require_sound(enrolment)
    return payload


def parse_enrolment(payload: bytes) -> Enrolment:
    """Spec/statements 5; raises `InvalidError` naming the member."""
    subject, enrolment = parse_statement(payload, ENROLMENT, Enrolment)
    require_subject(subject, _subject(enrolment))
    _require_sound(enrolment)
    return enrolment


def sign_enrolment(enrolment: Enrolment, service_key: PrivateKey) -> bytes:
    """The envelope that goes into the log entry."""
    return sign_envelope(encode_enrolment(enrolment), service_key)


def verify_enrolment(envelope: bytes, service_key: PublicKey) -> Enrolment:
    """The enrolment; raises `InvalidError` for its form, `UnverifiedError` for its signature."""
    return parse_enrolment(verify_envelope(parse_envelope(envelope), service_key))


def _require_sound(enrolment: Enrolment) -> None:
    require_hive_id(enrolment.hive)
    parse_ms(enrolment.at, field="predicate.at")
    require_reasons(enrolment, enrolment.absent, silent=frozenset())


def _subject(enrolment: Enrolment) -> Subject:
    raw = PublicKey.from_base64(enrolment.hive.public_key, field="predicate.hive.public_key").raw
    return Subject.of("hive", hashlib.sha256(raw).hexdigest())
