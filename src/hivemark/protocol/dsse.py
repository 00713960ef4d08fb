"""DSSE envelopes in exactly one byte form (spec/statements 1)."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from hivemark.errors import InvalidError, UnverifiedError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.canonical import encode_canonical, parse_canonical
from hivemark.protocol.keys import SIGNATURE_BYTES, PrivateKey, PublicKey
from hivemark.protocol.shape import Shape, to_shape
from hivemark.protocol.strictjson import JsonValue

STATEMENT_TYPE: Final = "application/vnd.in-toto+json"
ENVELOPE_BYTES_MAX: Final = 65_535  # an envelope has to fit into a log entry


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope; `keyid` is only a hint until `verify_envelope` has returned."""

    payload: bytes
    payload_type: str
    keyid: str
    signature: bytes
    raw: bytes

    @property
    def sha256(self) -> str:
        """The digest by which other statements name this envelope."""
        return hashlib.sha256(self.raw).hexdigest()


class _Signature(Shape, frozen=True, kw_only=True):
    keyid: str
    sig: str


class _Envelope(Shape, frozen=True, kw_only=True, rename={"payload_type": "payloadType"}):
    payload: str
    payload_type: str
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=1)]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The signed bytes: type and payload, each with its length in bytes before it."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, key: PrivateKey, payload_type: str = STATEMENT_TYPE) -> bytes:
    """The canonical bytes of an envelope around `payload` with one signature."""
    signature = key.sign(pre_authentication_encoding(payload_type, payload))
    return encode_canonical(
        {
            "payload": encode_base64(payload),
            "payloadType": payload_type,
            "signatures": [{"keyid": key.public.fingerprint, "sig": encode_base64(signature)}],
        }
    )


def parse_envelope(raw: bytes) -> Envelope:
    """Raises `InvalidError` for anything but the canonical bytes of an envelope with one signature."""
    return _read(parse_canonical(raw, bytes_max=ENVELOPE_BYTES_MAX), raw)


def envelope_from_value(value: JsonValue) -> Envelope:
    """The envelope that stands as an object inside another canonical document, such as a log entry."""
    return _read(value, encode_canonical(value))


def verify_envelope(
    envelope: Envelope, public_key: PublicKey, *, payload_type: str = STATEMENT_TYPE
) -> bytes:
    """The payload; raises `UnverifiedError` unless this key signed it under this type.

    The key id is not covered by the signature, so it has to be the key's fingerprint: otherwise one statement
    could be given many envelopes with different digests.
    """
    if envelope.payload_type != payload_type:
        raise UnverifiedError(f"the payload is no {payload_type}", code="payload_type_mismatch")
    if envelope.keyid != public_key.fingerprint:
        raise UnverifiedError("the envelope names another key", code="key_mismatch")
    public_key.verify(
        envelope.signature, pre_authentication_encoding(envelope.payload_type, envelope.payload)
    )
    return envelope.payload


def _read(value: JsonValue, raw: bytes) -> Envelope:
    if len(raw) > ENVELOPE_BYTES_MAX:
        raise InvalidError("the envelope does not fit into a log entry", code="envelope_malformed")
    shape = to_shape(value, _Envelope)
    signature = shape.signatures[0]
    return Envelope(
        payload=decode_base64(shape.payload, field="payload"),
        payload_type=shape.payload_type,
        keyid=signature.keyid,
        signature=decode_base64(signature.sig, length=SIGNATURE_BYTES, field="signatures[0].sig"),
        raw=raw,
    )
