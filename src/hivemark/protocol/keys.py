"""Ed25519 keys and the one rule set by which signatures are accepted (spec/keys).

The curve arithmetic is OpenSSL's. It compares the recomputed R byte for byte (no cofactor) and refuses
S >= L; what it leaves open is decided here, so that every implementation answers every signature alike.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hivemark.errors import InvalidError, UnverifiedError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.strictjson import JsonObject, parse_json_object

KEY_TYPE: Final = "hivemark-ed25519"
PUBLIC_KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_Y_MASK: Final = 2**255 - 1
_Y8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# y of the eight points whose order divides 8: orders 1, 2, 4, 8, 8. Any sign bit is refused with them.
_SMALL_ORDER_Y: Final = frozenset({1, _P - 1, 0, _Y8, _P - _Y8})


@dataclass(frozen=True)
class PublicKey:
    """The 32 bytes that name a party."""

    raw: bytes

    @classmethod
    def from_raw(cls, raw: bytes, *, field: str | None = None) -> "PublicKey":
        """Checks the length only; whether it is a usable point is part of `verify`."""
        if len(raw) != PUBLIC_KEY_BYTES:
            raise InvalidError(
                f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(raw)}",
                code="public_key_malformed",
                field=field,
            )
        return cls(bytes(raw))

    @classmethod
    def from_base64(cls, text: str, *, field: str | None = None) -> "PublicKey":
        """From standard padded base64; raises `InvalidError` with code `public_key_malformed`."""
        return cls(decode_base64(text, length=PUBLIC_KEY_BYTES, field=field, code="public_key_malformed"))

    @property
    def base64(self) -> str:
        """Standard padded base64 of the raw key."""
        return encode_base64(self.raw)

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the unpadded base64 of the key's SHA-256, as OpenSSH prints fingerprints."""
        return "SHA256:" + encode_base64(hashlib.sha256(self.raw).digest()).rstrip("=")

    @cached_property
    def _curve_key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Spec/keys 2; raises `UnverifiedError` with code `signature_invalid` and nothing else."""
        if len(signature) != SIGNATURE_BYTES:  # 2.1
            raise UnverifiedError("an Ed25519 signature has 64 bytes", code="signature_invalid")
        if int.from_bytes(signature[32:], "little") >= _L:  # 2.2
            raise UnverifiedError("the signature's S is not reduced", code="signature_invalid")
        if not _is_strong_point(self.raw):  # 2.3
            raise UnverifiedError("the public key is no canonical, strong point", code="signature_invalid")
        if not _is_strong_point(signature[:32]):  # 2.4
            raise UnverifiedError("the signature's R is no canonical, strong point", code="signature_invalid")
        try:
            self._curve_key.verify(signature, message)  # 2.5
        except InvalidSignature as error:
            raise UnverifiedError("the signature does not hold", code="signature_invalid") from error


@dataclass(frozen=True)
class PrivateKey:
    """A signing key; its seed never shows in `repr`, logs or errors."""

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, random: Callable[[int], bytes]) -> "PrivateKey":
        """A fresh key from a source of secret randomness such as `os.urandom`."""
        return cls.from_seed(random(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> "PrivateKey":
        """The key of RFC 8032's 32-byte private seed."""
        if len(seed) != SEED_BYTES:
            raise InvalidError(
                f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}", code="private_key_malformed"
            )
        return cls(bytes(seed))

    @cached_property
    def _curve_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self._curve_key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of RFC 8032; the same message always gives the same signature."""
        return self._curve_key.sign(message)


def encode_private_key_json(key: PrivateKey, *, created: str, owner_id: str | None = None) -> JsonObject:
    """The JSON form (spec/keys 3.1); `created` is RFC 3339, `owner_id` a hive or account id."""
    value: JsonObject = {
        "kty": KEY_TYPE,
        "public_key": key.public.base64,
        "private_key": encode_base64(key.seed),
        "created": created,
    }
    return value if owner_id is None else {**value, "id": owner_id}


def encode_private_key_pem(key: PrivateKey) -> bytes:
    """PKCS#8 PEM, readable by OpenSSL (spec/keys 3.2)."""
    return Ed25519PrivateKey.from_private_bytes(key.seed).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def parse_private_key(raw: bytes) -> PrivateKey:
    """A key from either form; raises `InvalidError` with code `private_key_malformed` and no key material."""
    return _parse_pem(raw) if raw.startswith(b"-----BEGIN") else _parse_json(raw)


def _parse_pem(raw: bytes) -> PrivateKey:
    try:
        loaded = serialization.load_pem_private_key(raw, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidError("not an unencrypted PKCS#8 PEM key", code="private_key_malformed") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise InvalidError("the PEM key is not Ed25519", code="private_key_malformed")
    return PrivateKey.from_seed(loaded.private_bytes_raw())


def _parse_json(raw: bytes) -> PrivateKey:
    value = parse_json_object(raw)
    if value.get("kty") != KEY_TYPE:
        raise InvalidError(f"expected {KEY_TYPE}", code="private_key_malformed", field="kty")
    seed_text, public_text = value.get("private_key"), value.get("public_key")
    if not isinstance(seed_text, str):
        raise InvalidError("expected base64 text", code="private_key_malformed", field="private_key")
    seed = decode_base64(seed_text, length=SEED_BYTES, field="private_key", code="private_key_malformed")
    key = PrivateKey.from_seed(seed)
    if public_text != key.public.base64:
        raise InvalidError(
            "this public key does not belong to the private key",
            code="private_key_malformed",
            field="public_key",
        )
    return key


def _is_strong_point(encoded: bytes) -> bool:
    """Whether y is reduced and the point is none of small order; that it is on the curve is checked later."""
    y = int.from_bytes(encoded, "little") & _Y_MASK
    return y < _P and y not in _SMALL_ORDER_Y
