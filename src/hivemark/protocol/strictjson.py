"""JSON read so strictly that two readers cannot understand it differently (spec/encoding 1).

Everything that is signed, hashed or posted comes in through `parse_json`.
"""

import json
import re
from typing import Final, NoReturn, TypeAlias

from hivemark.errors import InvalidError, TooLargeError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

BYTES_MAX: Final = 1_048_576
DEPTH_MAX: Final = 16
NUMBER_MAX: Final = 2**53 - 1

# All but brackets, and strings (also one that never ends). Possessive, so the scan is linear whatever comes.
_NO_BRACKETS: Final = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?)++', re.DOTALL)
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(raw: bytes, *, bytes_max: int = BYTES_MAX, depth_max: int = DEPTH_MAX) -> JsonValue:
    """The value of `raw`, or `TooLargeError`, or `InvalidError` with a `json_…` code (spec/encoding 1)."""
    if len(raw) > bytes_max:  # 1.1
        raise TooLargeError(f"{len(raw)} bytes of JSON; the limit is {bytes_max}", code="too_large")
    text = _decode_utf8(raw)  # 1.2
    _require_depth(raw, depth_max)  # 1.3, before the parser recurses
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,  # 1.4
            parse_int=_integer,  # 1.5
            parse_float=parse_float,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise InvalidError(
            f"not JSON: {error.msg} at character {error.pos}", code="json_malformed"
        ) from error
    if _ESCAPED_SURROGATE.search(raw):  # 1.6; raw UTF-8 cannot hold one
        _refuse_lone_surrogates(value)
    return value


def parse_json_object(raw: bytes, *, bytes_max: int = BYTES_MAX, depth_max: int = DEPTH_MAX) -> JsonObject:
    """As `parse_json`, for documents whose outermost value has to be an object."""
    value = parse_json(raw, bytes_max=bytes_max, depth_max=depth_max)
    if not isinstance(value, dict):
        raise InvalidError("expected a JSON object", code="json_not_object")
    return value


def _decode_utf8(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(f"not UTF-8 at byte {error.start}", code="json_utf8") from error
    if text.startswith("\ufeff"):
        raise InvalidError("a byte order mark is not JSON", code="json_utf8")
    return text


def _require_depth(raw: bytes, depth_max: int) -> None:
    if raw.count(b"[") + raw.count(b"{") <= depth_max:
        return
    depth = 0
    for bracket in _NO_BRACKETS.sub(b"", raw):
        if bracket in b"[{":
            depth += 1
            if depth > depth_max:
                raise InvalidError(f"nested deeper than {depth_max} levels", code="json_depth")
        else:
            depth -= 1


def _object_without_duplicates(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidError("this member stands twice in one object", code="json_duplicate_key", field=twice)
    return value


def _integer(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > NUMBER_MAX:
        raise InvalidError("a number beyond ±(2^53−1) is not exact", code="json_number_range")
    return number


def parse_float(text: str) -> float:
    """A number with a fraction or an exponent; an integer when it is one (1.5)."""
    number = float(text)
    if abs(number) > NUMBER_MAX:  # also the infinities; 1.5
        raise InvalidError("a number beyond ±(2^53−1) is not exact", code="json_number_range")
    return int(number) if number.is_integer() else number  # 1.0 and 1 have one canonical form, so one value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidError(f"{name} is not JSON", code="json_not_finite")


def _refuse_lone_surrogates(value: JsonValue) -> None:
    match value:
        case str():
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise InvalidError("a lone surrogate is not text", code="json_surrogate")
        case list():
            for item in value:
                _refuse_lone_surrogates(item)
        case dict():
            for key, item in value.items():
                _refuse_lone_surrogates(key)
                _refuse_lone_surrogates(item)
        case _:
            pass
