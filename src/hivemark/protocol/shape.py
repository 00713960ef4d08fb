"""Strict JSON values into typed structs and back (spec/encoding 6).

msgspec does the work; this module turns its errors into `InvalidError` with the dotted field and fixes the
types that several documents share.
"""

import re
import threading
from typing import Annotated, Any, Final, TypeVar

import msgspec

from hivemark.errors import InvalidError
from hivemark.protocol.strictjson import JsonObject, JsonValue, parse_float

T = TypeVar("T")

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Base64Key = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9+/]{43}=$", max_length=44)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
ShortText = Annotated[str, msgspec.Meta(max_length=1024)]
Time = Annotated[
    str,
    msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", min_length=24, max_length=24),
]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen record whose members are exactly those of its JSON object."""


_AT: Final = re.compile(r"^(?P<what>.*) - at `(?P<key>key in )?\$(?P<path>[^`]*)`$", re.DOTALL)
_NAMED: Final = re.compile(r"Object (?P<how>contains unknown|missing required) field `(?P<name>[^`]*)`")


_described: Final[set[Any]] = set()
_describing: Final = threading.Lock()


def _describe(shape: type[Any]) -> None:
    """Let msgspec examine a type before it is used, in one thread at a time.

    msgspec 0.22 keeps what it learns of a struct on its class, where other threads see it before it is whole:
    two that meet a type for the first time at once end the process (SIGSEGV).
    """
    with _describing:
        msgspec.json.Decoder(shape)
        _described.add(shape)


def to_shape(value: JsonValue, shape: type[T], *, prefix: str = "") -> T:
    """`value` as `shape`, or `InvalidError`: `member_unknown`, `member_missing`, `member_invalid`."""
    if shape not in _described:
        _describe(shape)
    try:
        return msgspec.convert(value, shape, strict=True)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), prefix) from error


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any], float_hook=parse_float)


def from_shape(record: Any) -> JsonObject:
    """The JSON object of a record as `parse_json` would read it: every member stands in it, absent ones as
    null."""
    return _OBJECT.decode(msgspec.json.encode(record))


def _invalid(text: str, prefix: str) -> InvalidError:
    located = _AT.match(text)
    what, path = (located["what"], located["path"].lstrip(".")) if located else (text, "")
    path = path.replace("[...]", "")  # msgspec's way of saying "some value of this map"
    path = ".".join(part for part in (prefix, path) if part)
    named = _NAMED.match(what)
    if named is None:
        return InvalidError(what, code="member_invalid", field=path or None)
    field = f"{path}.{named['name']}" if path else named["name"]
    if named["how"] == "missing required":
        return InvalidError("this member is required", code="member_missing", field=field)
    return InvalidError("there is no such member", code="member_unknown", field=field)
