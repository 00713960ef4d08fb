"""Instants: Unix milliseconds inside, RFC 3339 text outside (spec/encoding 5)."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from hivemark.errors import InvalidError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)


def format_ms(now_ms: int) -> str:
    """UTC with exactly three decimals and `Z`: the one form written by Hivemark."""
    moment = _EPOCH + now_ms * _MILLISECOND
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_ms(text: str, *, field: str | None = None) -> int:
    """The strict inverse of `format_ms`; any other spelling of the instant is refused."""
    instant_ms = parse_rfc3339(text, field=field)
    if format_ms(instant_ms) != text:
        raise InvalidError("expected UTC with three decimals and Z", code="timestamp_malformed", field=field)
    return instant_ms


def parse_rfc3339(text: str, *, field: str | None = None) -> int:
    """Unix milliseconds of an RFC 3339 instant with any offset; finer digits are cut off.

    Refused with code `timestamp_malformed`: lower-case `t` and `z`, second 60 (it has no Unix time), a
    missing offset, dates that do not exist.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidError("expected an RFC 3339 time", code="timestamp_malformed", field=field)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    millisecond = int((fraction or "").ljust(3, "0")[:3])
    try:
        zone = _offset(sign, offset_hour, offset_minute)
        moment = datetime(year, month, day, hour, minute, second, millisecond * 1000, tzinfo=zone)
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        raise InvalidError("this time does not exist", code="timestamp_malformed", field=field) from error


def _offset(sign: str | None, hour: str | None, minute: str | None) -> timezone:
    if sign is None or hour is None or minute is None:
        return UTC
    if int(minute) > 59:
        raise ValueError("an offset has at most 59 minutes")
    distance = timedelta(hours=int(hour), minutes=int(minute))
    return timezone(-distance if sign == "-" else distance)
