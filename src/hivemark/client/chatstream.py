"""An answer of `/v1/chat/completions` as it streams, parsed sans I/O: text, ending, usage, execution.

Form: OpenAI's chunks; the end is `data: [DONE]`; a stream that breaks carries an error object instead. What
the coordinator adds stands in a comment: `: hivemark {"execution": …, "outcome": …}`.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from hivemark.client.problems import error_of_openai, openai_error
from hivemark.client.sse import COMMENT, ServerEvent, SseParser
from hivemark.errors import BadUpstreamError, UnavailableError

ANSWER_CHARS_MAX: Final = 64 * 1_048_576
_NOTE: Final = "hivemark "
_DONE: Final = "[DONE]"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the coordinator says of the execution behind the answer."""

    execution: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that was appended to the answer."""

    text: str


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    index: int = 0


class _Chunk(msgspec.Struct, frozen=True):
    choices: tuple[_Choice, ...] = ()
    usage: Usage | None = None


class ChatStream:
    """Feed it the bytes of the body, get the pieces of choice 0; afterwards it knows how the answer ended."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.note = Note()
        self.chars = 0
        self._sse = SseParser(comments=True)
        self._is_done = False

    def feed(self, portion: bytes) -> list[Piece]:
        """The pieces that this portion completes; raises the error that the stream tells, and
        `BadUpstreamError` for what is no chat stream.
        """
        pieces = [piece for event in self._sse.feed(portion) if (piece := self._read(event)) is not None]
        if self.chars > ANSWER_CHARS_MAX:
            raise BadUpstreamError(
                f"an answer of more than {ANSWER_CHARS_MAX:,} characters", code="answer_too_large"
            )
        return pieces

    def close(self) -> None:
        """The body has ended; raises `UnavailableError` with code `stream_broken` if the answer has not."""
        if not self._is_done and self.finish_reason is None:
            raise UnavailableError(
                f"the answer broke off after {self.chars} characters", code="stream_broken"
            )

    def _read(self, event: ServerEvent) -> Piece | None:
        if event.name == COMMENT:
            self._read_note(event.body)
            return None
        if event.body == _DONE:
            self._is_done = True
            return None
        if (told := openai_error(event.body)) is not None:
            raise error_of_openai(told)
        try:
            chunk = msgspec.json.decode(event.body, type=_Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadUpstreamError(f"an event that is no chunk: {error}", code="event_malformed") from error
        self.usage = chunk.usage or self.usage
        return self._read_choices(chunk)

    def _read_choices(self, chunk: _Chunk) -> Piece | None:
        text = ""
        for choice in chunk.choices:
            if choice.index == 0:
                text += choice.delta.content or ""
                self.finish_reason = choice.finish_reason or self.finish_reason
        self.chars += len(text)
        return Piece(text) if text else None

    def _read_note(self, comment: str) -> None:
        if not comment.startswith(_NOTE):
            return  # a keep-alive
        try:
            self.note = msgspec.json.decode(comment.removeprefix(_NOTE), type=Note)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadUpstreamError(f"a note that cannot be read: {error}", code="event_malformed") from error
