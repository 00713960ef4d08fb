"""Header names, and the account signature that stands in `Authorization` (docs/spec/http.md 3).

An account proves itself by one signature over what it asks: method, target, digest of the body, time and a
nonce, as a value under the domain `request`. There is no second signing form for people.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from hivemark.errors import InvalidError, UnauthenticatedError, UnverifiedError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.keys import SIGNATURE_BYTES, PrivateKey, PublicKey
from hivemark.protocol.shape import Sha256, from_shape, to_shape
from hivemark.protocol.signing import sign_value, verify_value
from hivemark.protocol.strictjson import parse_json
from hivemark.protocol.times import format_ms, parse_ms

AUTHORIZATION: Final = "Authorization"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IDEMPOTENT_REPLAYED: Final = "Idempotent-Replayed"
LAST_EVENT_ID: Final = "Last-Event-ID"
REQUEST_ID: Final = "X-Request-Id"
HIVE: Final = "Hivemark-Hive"
EPOCH: Final = "Hivemark-Epoch"

SCHEME: Final = "Hivemark"
REQUEST_DOMAIN: Final = "request"
WINDOW_MS: Final = 60_000
HEADER_CHARS_MAX: Final = 8_192
_NONCE_BYTES: Final = 16


class _Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: str
    target: str
    body_sha256: Sha256
    public_key: str
    timestamp: str
    nonce: Annotated[str, Meta(min_length=16, max_length=128)]
    signature: str


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A verified account signature; whoever keeps nonces refuses a second use until `until_ms`."""

    public_key: PublicKey
    nonce: str
    until_ms: int


def sign_request(
    key: PrivateKey, *, method: str, target: str, body: bytes, now_ms: int, random: Callable[[int], bytes]
) -> str:
    """The value of `Authorization`; `target` is the path with its query exactly as it is sent."""
    value = {
        "method": method,
        "target": target,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "public_key": key.public.base64,
        "timestamp": format_ms(now_ms),
        "nonce": encode_base64(random(_NONCE_BYTES)),
    }
    signature = encode_base64(sign_value(REQUEST_DOMAIN, dict(value), key))
    signed = encode_canonical({**value, "signature": signature})
    return f"{SCHEME} {base64.urlsafe_b64encode(signed).decode('ascii').rstrip('=')}"


def verify_request(credential: str, *, method: str, target: str, body: bytes, now_ms: int) -> SignedRequest:
    """Spec/http 3.2: `credential` is what follows the scheme.

    Raises `InvalidError` for a form that is not ours, `UnauthenticatedError` with code `signature_expired` or
    `signature_mismatch`, `UnverifiedError` with code `signature_invalid`.
    """
    claim = to_shape(parse_json(_decode(credential)), _Claim)  # 3.2.1
    public_key = PublicKey.from_base64(claim.public_key, field="public_key")
    asked = (method, target, hashlib.sha256(body).hexdigest())
    if (claim.method, claim.target, claim.body_sha256) != asked:  # 3.2.2
        raise UnauthenticatedError("this signature was made for another request", code="signature_mismatch")
    signed_ms = parse_ms(claim.timestamp, field="timestamp")
    if abs(now_ms - signed_ms) > WINDOW_MS:  # 3.2.3
        raise UnauthenticatedError(
            "this signature is more than 60 s from the server's clock",
            code="signature_expired",
            hint="set the clock, then sign again",
        )
    signature = decode_base64(
        claim.signature, length=SIGNATURE_BYTES, field="signature", code="signature_malformed"
    )
    value = from_shape(claim)
    del value["signature"]
    verify_value(REQUEST_DOMAIN, value, signature=signature, public_key=public_key)  # 3.2.4
    return SignedRequest(public_key=public_key, nonce=claim.nonce, until_ms=signed_ms + WINDOW_MS)


def _decode(credential: str) -> bytes:
    if len(credential) > HEADER_CHARS_MAX:
        raise InvalidError("this credential is too long", code="credential_malformed")
    try:
        padded = credential + "=" * (-len(credential) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidError("this credential is not base64url", code="credential_malformed") from error


__all__ = [
    "AUTHORIZATION",
    "EPOCH",
    "HIVE",
    "IDEMPOTENCY_KEY",
    "IDEMPOTENT_REPLAYED",
    "LAST_EVENT_ID",
    "REQUEST_ID",
    "SCHEME",
    "SignedRequest",
    "UnverifiedError",
    "sign_request",
    "verify_request",
]
