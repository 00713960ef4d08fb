"""Server-sent events as the coordinator sends them, parsed sans I/O (WHATWG HTML 9.2, UTF-8, LF or CRLF)."""

from dataclasses import dataclass
from typing import Final

from hivemark.errors import BadUpstreamError

EVENT_BYTES_MAX: Final = 1_048_576
COMMENT: Final = ":"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `id` is the newest id seen on this stream, which a resumed stream names."""

    id: str
    name: str
    body: str


class SseParser:
    """Feed bytes in any portions, get events; raises `BadUpstreamError` when one grows over the limit.

    With `comments` a comment comes as an event named `COMMENT`; else it is a keep-alive and left out.
    """

    def __init__(self, *, comments: bool = False) -> None:
        self._comments = comments
        self._buffer = b""
        self._id = ""
        self._name = ""
        self._lines: list[str] = []

    def feed(self, portion: bytes) -> list[ServerEvent]:
        """The events that this portion completes, in order."""
        self._buffer += portion
        if len(self._buffer) > EVENT_BYTES_MAX:
            raise BadUpstreamError(f"an event of more than {EVENT_BYTES_MAX} bytes", code="event_too_large")
        *lines, self._buffer = self._buffer.split(b"\n")
        parsed = [self._line(line.removesuffix(b"\r")) for line in lines]
        return [event for event in parsed if event is not None]

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        try:
            field, _, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError as error:
            raise BadUpstreamError("an event that is not UTF-8", code="event_malformed") from error
        value = value.removeprefix(" ")
        match field:
            case "id":
                self._id = value
            case "event":
                self._name = value
            case "data":
                self._lines.append(value)
            case "" if self._comments:
                return ServerEvent(self._id, COMMENT, value)
            case _:  # comments (the keep-alive) and fields that we do not know
                pass
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, lines = self._name or "message", self._lines
        self._name, self._lines = "", []
        return ServerEvent(self._id, name, "\n".join(lines)) if lines else None
