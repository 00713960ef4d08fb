"""The one byte form of a JSON value: RFC 8785 (spec/encoding 2).

The `rfc8785` package defines it here; most values never reach it, because Python's own encoder writes the
same bytes for them and does so in C.
"""

import json
import re
from typing import Final

import rfc8785

from hivemark.errors import InvalidError
from hivemark.protocol.strictjson import JsonValue, parse_json

_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, sort_keys=True, separators=(",", ":")
)
# Any text between strings and numbers, which are strings, or numbers that both write alike: up to 15 digits,
# then a fraction that does not end in zero. 1.0, 1e-07 and what may lie beyond 2^53 are left to the package.
_ALIKE: Final = re.compile(
    rb"""[^"0-9]*+
    (?:  (?: "[^"\\]*+(?:\\.[^"\\]*+)*+"  |  [0-9]{1,15}+(?:\.[0-9]*[1-9])?(?![0-9.e]) )  [^"0-9]*+  )*+""",
    re.DOTALL | re.VERBOSE,
)
_BEYOND_BMP: Final = re.compile(rb"[\xf0-\xf4]")  # the first byte of four


def encode_canonical(value: JsonValue) -> bytes:
    """RFC 8785 bytes of `value`; raises `InvalidError` with code `not_canonical` for what has none."""
    try:
        raw = _ENCODER.encode(value).encode()
        # The orders of keys, by code point here and by UTF-16 unit there, part only beyond U+FFFF.
        if _ALIKE.fullmatch(raw) and (raw.isascii() or not _BEYOND_BMP.search(raw)):
            return raw
    except (ValueError, TypeError, RecursionError):
        pass  # the package says what is wrong
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InvalidError(f"no canonical form: {error}", code="not_canonical") from error


def parse_canonical(raw: bytes, *, bytes_max: int, depth_max: int = 16) -> JsonValue:
    """The strict inverse of `encode_canonical`: other spellings of the same value are refused."""
    value = parse_json(raw, bytes_max=bytes_max, depth_max=depth_max)
    if encode_canonical(value) != raw:
        raise InvalidError("these bytes are not the canonical form of their value", code="not_canonical")
    return value
