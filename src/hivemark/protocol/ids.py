"""Identifiers: time-ordered random ids for records, self-certifying ids for keys (spec/encoding 4)."""

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

JOB: Final = "job"
EXECUTION: Final = "exe"
ATTEMPT: Final = "att"
API_KEY: Final = "key"

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32 without i, l, o, u
_TIME_CHARS: Final = 10
_RANDOM_CHARS: Final = 16
_RANDOM_BYTES: Final = 10
_KEY_ID_CHARS: Final = 26
_KEYS_KEPT: Final = 1_024


def new_id(prefix: str, *, now_ms: int, random: Callable[[int], bytes]) -> str:
    """`<prefix>_` and 26 characters: 10 of milliseconds, 16 of randomness; sorts by time.

    `prefix` is lower-case letters without the underscore, such as `JOB`.
    """
    assert prefix.isascii() and prefix.isalpha() and prefix.islower(), f"not an id prefix: {prefix!r}"
    assert 0 <= now_ms < 1 << 48, f"not Unix milliseconds: {now_ms}"
    noise = int.from_bytes(random(_RANDOM_BYTES), "big")
    return f"{prefix}_{_crockford(now_ms, _TIME_CHARS)}{_crockford(noise, _RANDOM_CHARS)}"


def hive_id(public_key_raw: bytes) -> str:
    """The id of the hive that holds this key: anyone can recompute it from the key."""
    return f"hive_{_key_digest(public_key_raw)}"


def account_id(public_key_raw: bytes) -> str:
    """The id of the account that holds this key: anyone can recompute it from the key."""
    return f"acct_{_key_digest(public_key_raw)}"


@lru_cache(maxsize=_KEYS_KEPT)
def _key_digest(public_key_raw: bytes) -> str:
    assert len(public_key_raw) == 32, "an Ed25519 public key has 32 bytes"
    digest = hashlib.sha256(public_key_raw).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:_KEY_ID_CHARS]


def _crockford(number: int, chars: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(5 * (chars - 1), -1, -5))
