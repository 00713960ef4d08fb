"""The JobSpec: what a client signs and posts (spec/jobspec).

The signature covers the strictly parsed JSON as it stands; the typed `JobSpec` is read from it afterwards,
with defaults filled in and both spellings of a member brought to one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hivemark.errors import InvalidError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.jobspec_members import JobSpec, read_members
from hivemark.protocol.keys import SIGNATURE_BYTES, PrivateKey, PublicKey
from hivemark.protocol.signing import JOBSPEC, domain_message, message_sha256
from hivemark.protocol.strictjson import JsonObject, parse_json_object
from hivemark.protocol.times import format_ms

_NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SignedJobSpec:
    """A JobSpec as received. Its signature has the right form; `verify_jobspec` says whether it holds."""

    raw: bytes
    value: JsonObject
    message: bytes
    spec_sha256: str
    spec: JobSpec
    public_key: PublicKey
    signature: bytes


def parse_jobspec(raw: bytes) -> SignedJobSpec:
    """Spec/jobspec 1 to 4 without the signature check.

    Raises `TooLargeError`, `InvalidError` with code and dotted field, or `UnsatisfiableError` with code
    `container_unsupported`. A missing signature is reported before any other fault of the members.
    """
    value = parse_json_object(raw)
    signature = _signature_of(value)
    public_key = _public_key_of(value)
    message = _signed_message(value)
    return SignedJobSpec(
        raw=raw,
        value=value,
        message=message,
        spec_sha256=message_sha256(message),
        spec=read_members(value),
        public_key=public_key,
        signature=signature,
    )


def verify_jobspec(signed: SignedJobSpec) -> None:
    """Raises `UnverifiedError` with code `signature_invalid` unless the named key signed this JobSpec."""
    signed.public_key.verify(signed.signature, signed.message)


def sign_jobspec(value: JsonObject, key: PrivateKey, *, now_ms: int, random: Callable[[int], bytes]) -> bytes:
    """The bytes to post: `value` with key, signature and, where it has none, timestamp and nonce.

    Raises as `parse_jobspec` when the result would be refused, so nothing unusable is ever signed.
    """
    metadata = value.get("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidError("expected an object", code="member_invalid", field="metadata")
    fresh: JsonObject = {"timestamp": format_ms(now_ms), "nonce": encode_base64(random(_NONCE_BYTES))}
    complete: JsonObject = {**value, "metadata": {**fresh, **metadata}, "public_key": key.public.base64}
    complete.pop("signature", None)
    complete["signature"] = encode_base64(key.sign(_signed_message(complete)))
    raw = json.dumps(complete, indent=2, ensure_ascii=False).encode()
    parse_jobspec(raw)
    return raw


def _signed_message(value: JsonObject) -> bytes:
    return domain_message(JOBSPEC, {name: member for name, member in value.items() if name != "signature"})


def _signature_of(value: JsonObject) -> bytes:
    text = value.get("signature")
    if text is None or text == "":
        raise InvalidError(
            "the job is not signed",
            code="signature_missing",
            field="signature",
            hint="sign it with `hivemark run` or sign_jobspec",
        )
    if not isinstance(text, str):
        raise InvalidError("expected base64 text", code="signature_malformed", field="signature")
    return decode_base64(text, length=SIGNATURE_BYTES, field="signature", code="signature_malformed")


def _public_key_of(value: JsonObject) -> PublicKey:
    text = value.get("public_key")
    if text is None or text == "":
        raise InvalidError("the signer's key is missing", code="signature_missing", field="public_key")
    if not isinstance(text, str):
        raise InvalidError("expected base64 text", code="public_key_malformed", field="public_key")
    return PublicKey.from_base64(text, field="public_key")
