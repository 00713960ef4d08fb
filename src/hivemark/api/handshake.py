"""What both ends of the link sign before they believe each other, and the signature of an enrolment.

One transcript holds both nonces and both keys (docs/spec/link 2.3); the `role` keeps one side's signature
from being played back as the other's. Pure: bytes and values in, bytes and values out.
"""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from hivemark.api.link import Enrol
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.signing import sign_value, verify_value
from hivemark.protocol.strictjson import JsonObject

LINK: Final = "link"
ENROL: Final = "enrol"
NONCE_BYTES: Final = 32

Role = Literal["service", "hive"]


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that makes one handshake this handshake; keys and nonces in base64 as on the wire."""

    network: str
    hive: str
    hive_key: str
    service_key: str
    hive_nonce: str
    service_nonce: str
    protocol: int

    def value(self, role: Role) -> JsonObject:
        """The JSON value that `role` signs (2.3)."""
        return {
            "network": self.network,
            "hive": self.hive,
            "hive_key": self.hive_key,
            "service_key": self.service_key,
            "hive_nonce": self.hive_nonce,
            "service_nonce": self.service_nonce,
            "protocol": self.protocol,
            "role": role,
        }

    def sign(self, role: Role, key: PrivateKey) -> str:
        """Base64 of this role's signature."""
        return encode_base64(sign_value(LINK, self.value(role), key))

    def verify(self, role: Role, signature: str) -> None:
        """Raises `UnverifiedError` or `InvalidError` unless the role's own key signed exactly this."""
        key = PublicKey.from_base64(self.service_key if role == "service" else self.hive_key)
        raw = decode_base64(signature, field="signature", code="signature_malformed")
        verify_value(LINK, self.value(role), signature=raw, public_key=key)


def require_nonce(text: str) -> str:
    """`text` if it is base64 of 32 bytes; raises `InvalidError` with code `nonce_malformed`."""
    decode_base64(text, length=NONCE_BYTES, field="nonce", code="nonce_malformed")
    return text


def sign_enrol(enrol: Enrol, key: PrivateKey) -> Enrol:
    """The same message with the hive key's signature over everything else (1.5)."""
    signature = encode_base64(sign_value(ENROL, _without_signature(enrol), key))
    return msgspec.structs.replace(enrol, signature=signature)


def verify_enrol(enrol: Enrol) -> None:
    """Raises unless the key named in the message signed it (1.5)."""
    raw = decode_base64(enrol.signature, field="signature", code="signature_malformed")
    key = PublicKey.from_base64(enrol.public_key, field="public_key")
    verify_value(ENROL, _without_signature(enrol), signature=raw, public_key=key)


def _without_signature(enrol: Enrol) -> JsonObject:
    value: JsonObject = msgspec.to_builtins(enrol)
    del value["signature"]
    return value
