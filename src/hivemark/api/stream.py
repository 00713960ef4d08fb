"""The body of an attempt's stream: frames of one hive's outbound POST (docs/spec/link 7).

A frame is one byte for its kind, four for the length of its payload (big-endian), and the payload. Data is
relayed to the client of a call as it is; whoever relays never looks for the borders of events.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from hivemark.errors import InvalidError, TooLargeError

STREAM_PATH: Final = "/api/v1/link/attempts/{attempt}/stream"
STREAM_TYPE: Final = "application/vnd.hivemark.stream"
PAYLOAD_BYTES_MAX: Final = 8_388_608
KEEPALIVE_S: Final = 5.0
"""A stream that has nothing to say says so this often, so that a dead connection is noticed."""

_HEAD: Final = struct.Struct(">BI")


class FrameKind(IntEnum):
    """What a payload is. After `RESULT` nothing follows."""

    DATA = 1  # whole events of the answer's stream, or the whole answer
    REFUSAL = 2  # the engine's error object, instead of any data; two bytes of status stand before it
    RESULT = 3  # a `ResultFrame` as JSON
    ALIVE = 4  # nothing


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """One frame."""

    kind: FrameKind
    payload: bytes = b""

    @property
    def refusal(self) -> tuple[int, bytes]:
        """Status and body of a `REFUSAL`."""
        return int.from_bytes(self.payload[:2], "big"), self.payload[2:]


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return _HEAD.pack(kind, len(payload)) + payload


def encode_refusal(status: int, answer: bytes) -> bytes:
    """The payload of a `REFUSAL`."""
    return status.to_bytes(2, "big") + answer


@dataclass(slots=True)
class FrameReader:
    """Bytes as they come into frames; `feed` raises `InvalidError` or `TooLargeError`."""

    _pending: bytearray = field(default_factory=bytearray)

    def feed(self, part: bytes) -> Iterator[StreamFrame]:
        """The frames that are whole now."""
        pending = self._pending
        pending += part
        start = 0
        while len(pending) - start >= _HEAD.size:
            kind, length = _HEAD.unpack_from(pending, start)
            if length > PAYLOAD_BYTES_MAX:
                raise TooLargeError(f"a frame of {length} bytes", code="frame_too_large")
            end = start + _HEAD.size + length
            if len(pending) < end:
                break
            try:
                named = FrameKind(kind)
            except ValueError:
                raise InvalidError(f"there is no frame of kind {kind}", code="frame_malformed") from None
            yield StreamFrame(named, bytes(pending[start + _HEAD.size : end]))
            start = end
        del pending[:start]
