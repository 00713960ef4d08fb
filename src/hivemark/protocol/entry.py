"""Log entries: the canonical bytes whose leaf hash the transparency log keeps (spec/entries)."""

from dataclasses import dataclass
from typing import Final

from hivemark.errors import InvalidError, TooLargeError
from hivemark.protocol.canonical import encode_canonical, parse_canonical
from hivemark.protocol.commitment import commit
from hivemark.protocol.dsse import Envelope, envelope_from_value, parse_envelope
from hivemark.protocol.shape import Sha256, to_shape

ENTRY_BYTES_MAX: Final = 65_535  # tlog-tiles: the length prefix of an entry is 16 bits
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """One attempt: the acceptance with the receipt inside, or alone when none came."""

    acceptance: Envelope
    receipt: Envelope | None


@dataclass(frozen=True, slots=True)
class EnrolmentEntry:
    """A hive joined or was revoked."""

    enrolment: Envelope


@dataclass(frozen=True, slots=True)
class PrivateEntry:
    """A commitment to the bytes of another entry, whose owner holds them and the salt."""

    commitment: str


Entry = AttemptEntry | EnrolmentEntry | PrivateEntry


def encode_attempt(acceptance: bytes, receipt: bytes | None) -> bytes:
    """The entry around the envelopes' bytes; raises `TooLargeError` when it does not fit into a log."""
    return _encode(
        {"acceptance": _checked(acceptance), "receipt": b"null" if receipt is None else _checked(receipt)}
    )


def encode_enrolled(enrolment: bytes) -> bytes:
    """The entry around an enrolment envelope."""
    return _encode({"enrolment": _checked(enrolment)})


def encode_private(salt: bytes, entry: bytes) -> bytes:
    """The entry that is logged in place of `entry` when only its owner may read it."""
    return _encode({"private": encode_canonical(commit(salt, entry))})


def parse_entry(raw: bytes) -> Entry:
    """The strict inverse of the encoders; raises `InvalidError` or `TooLargeError`; checks no signature."""
    value = parse_canonical(raw, bytes_max=ENTRY_BYTES_MAX)
    if not isinstance(value, dict) or (version := value.pop("v", None)) != _VERSION or version is True:
        raise InvalidError("not a version 1 log entry", code="entry_malformed")
    match value:
        case {"acceptance": acceptance, "receipt": receipt, **rest} if not rest:
            inside = None if receipt is None else envelope_from_value(receipt)
            return AttemptEntry(envelope_from_value(acceptance), inside)
        case {"enrolment": enrolment, **rest} if not rest:
            return EnrolmentEntry(envelope_from_value(enrolment))
        case {"private": commitment, **rest} if not rest:
            return PrivateEntry(to_shape(commitment, Sha256, prefix="private"))
    raise InvalidError("unknown kind of log entry", code="entry_malformed")


def _checked(envelope: bytes) -> bytes:
    return parse_envelope(envelope).raw


def _encode(members: dict[str, bytes]) -> bytes:
    """The entry with these members, each in its canonical form: together they are the canonical form."""
    values = {**members, "v": b"%d" % _VERSION}
    raw = b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), values[name]) for name in sorted(values))
    if len(raw) > ENTRY_BYTES_MAX:
        raise TooLargeError(
            f"the entry has {len(raw)} bytes; a log entry has at most {ENTRY_BYTES_MAX}",
            code="entry_too_large",
        )
    return raw
