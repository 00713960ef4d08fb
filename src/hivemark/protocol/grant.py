"""The grant: the coordinator's signed leave for one hive to run one attempt (spec/statements 6)."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from hivemark.errors import InvalidError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.keys import SIGNATURE_BYTES, PrivateKey, PublicKey
from hivemark.protocol.shape import Count, Name, Sha256, Shape, Time, from_shape, to_shape
from hivemark.protocol.signing import GRANT, domain_message, message_sha256
from hivemark.protocol.strictjson import JsonObject, JsonValue


class GrantedModel(Shape, frozen=True, kw_only=True):
    """The model to run; without a digest it is unpinned."""

    name: Name
    weights_sha256: Sha256 | None = None


class Grant(Shape, frozen=True, kw_only=True):
    """What may be run, by whom, until when.

    `request_sha256` is the digest of the canonical effective request. `nonce` (base64 of 32 random bytes)
    keeps `grant_sha256`, which becomes public in the receipt, from confirming a guessed request.
    """

    network: Name
    job: Name
    execution: Name
    attempt: Name
    lease_version: Count
    hive: Name
    model: GrantedModel | None
    spec_sha256: Sha256
    request_sha256: Sha256
    seed: Count
    expires: Time
    nonce: Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{43}=$", max_length=44)]


@dataclass(frozen=True, slots=True)
class SignedGrant:
    """A grant with the service key's signature over its canonical form."""

    grant: Grant
    signature: str
    grant_sha256: str

    def to_json(self) -> JsonObject:
        """The object that travels in a lease message."""
        return {"grant": from_shape(self.grant), "signature": self.signature}


def sign_grant(grant: Grant, key: PrivateKey) -> SignedGrant:
    """Sign with the service key; `grant_sha256` is the digest of the signed message."""
    message = domain_message(GRANT, from_shape(grant))
    return SignedGrant(grant, encode_base64(key.sign(message)), message_sha256(message))


def parse_grant(value: JsonValue) -> SignedGrant:
    """The strict inverse of `SignedGrant.to_json`; the signature is not checked yet."""
    if not isinstance(value, dict) or value.keys() != {"grant", "signature"}:
        raise InvalidError("expected grant and signature", code="grant_malformed")
    signature = value["signature"]
    if not isinstance(signature, str):
        raise InvalidError("expected base64 text", code="signature_malformed", field="signature")
    grant = to_shape(value["grant"], Grant, prefix="grant")
    return SignedGrant(grant, signature, message_sha256(domain_message(GRANT, from_shape(grant))))


def verify_grant(signed: SignedGrant, service_key: PublicKey) -> Grant:
    """The grant; raises `UnverifiedError` unless the service key signed it."""
    signature = decode_base64(
        signed.signature, length=SIGNATURE_BYTES, field="signature", code="signature_malformed"
    )
    service_key.verify(signature, domain_message(GRANT, from_shape(signed.grant)))
    return signed.grant
