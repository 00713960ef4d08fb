"""Signatures over JSON values: a domain line, then the canonical bytes (spec/signing 1)."""

import hashlib
import re
from typing import Final

from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.strictjson import JsonValue

JOBSPEC: Final = "jobspec"
GRANT: Final = "grant"


def domain_message(domain: str, value: JsonValue) -> bytes:
    """The bytes that are signed: `hivemark.dev/<domain>/v1`, a newline, RFC 8785 of `value`.

    The domain keeps a signature made for one purpose from being shown for another.
    """
    assert re.fullmatch(r"[a-z][a-z0-9-]*", domain), f"not a signing domain: {domain!r}"
    return f"hivemark.dev/{domain}/v1\n".encode() + encode_canonical(value)


def message_sha256(message: bytes) -> str:
    """The digest by which a signed value is named elsewhere (spec/signing 1.3)."""
    return hashlib.sha256(message).hexdigest()


def sign_value(domain: str, value: JsonValue, key: PrivateKey) -> bytes:
    """The 64-byte signature of `value` for this purpose."""
    return key.sign(domain_message(domain, value))


def verify_value(domain: str, value: JsonValue, *, signature: bytes, public_key: PublicKey) -> None:
    """Raises `UnverifiedError` with code `signature_invalid` unless the key signed this for this purpose."""
    public_key.verify(signature, domain_message(domain, value))
