"""The one byte form of a JSON value: RFC 8785 (spec/encoding 2)."""

import rfc8785

from hivemark.errors import InvalidError
from hivemark.protocol.strictjson import JsonValue, parse_json


def encode_canonical(value: JsonValue) -> bytes:
    """RFC 8785 bytes of `value`; raises `InvalidError` with code `not_canonical` for what has none."""
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
