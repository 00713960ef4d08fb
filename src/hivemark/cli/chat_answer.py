"""Asking, and showing the answer while it comes."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

from hivemark.cli.chat_turns import Ending, Turn
from hivemark.cli.console import harmless
from hivemark.client.chat import Answer, ChatClient

PATIENCE_S: Final = 2.0
_CLEAR_LINE: Final = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class Screen:
    """Where an answer goes: `text` carries the answer alone, `people` says that one has to wait."""

    text: TextIO
    people: TextIO

    def write(self, text: str) -> None:
        """Text of a model, which may say anything: its control characters act on nothing."""
        self.text.write(harmless(text))
        self.text.flush()

    def end_line(self, answer: str) -> None:
        """What follows begins on a line of its own."""
        if answer and not answer.endswith("\n"):
            self.text.write("\n")
            self.text.flush()


def terminal_screen() -> Screen:
    """Answers on stdout; the rest on stderr, so that a pipe gets the answer alone."""
    return Screen(sys.stdout, sys.stderr)


async def stream_answer(client: ChatClient, turn: Turn, screen: Screen) -> None:
    """Fill the turn as the answer comes; when this raises or is cancelled it holds what came until then."""
    start = time.monotonic()
    with _waiting(screen.people, start) as waiting:
        async with client.ask(turn.request) as answer:
            turn.body, turn.execution, turn.job = answer.body, answer.execution, answer.job
            try:
                async for piece in answer.pieces():
                    waiting.end()
                    turn.add(piece.text, at_s=time.monotonic() - start)
                    screen.write(piece.text)
                turn.ending = Ending.WHOLE
            finally:
                _note_ending(turn, answer)


def _note_ending(turn: Turn, answer: Answer) -> None:
    stream = answer.stream
    turn.usage, turn.finish_reason, turn.outcome = stream.usage, stream.finish_reason, stream.note.outcome
    turn.execution = turn.execution or stream.note.execution


@contextmanager
def _waiting(people: TextIO, start: float) -> Iterator["_Waiting"]:
    waiting = _Waiting(people, start)
    try:
        yield waiting
    finally:
        waiting.end()


class _Waiting:
    """After two seconds of silence a line on the terminal says how long it has been, until the end."""

    def __init__(self, people: TextIO, start: float) -> None:
        self._people = people
        self._start = start
        self._is_shown = False
        self._timer = self._call_later(PATIENCE_S) if people.isatty() else None

    def end(self) -> None:
        """Take the line away; more than once is as good as once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_shown:
            self._say(_CLEAR_LINE)
            self._is_shown = False

    def _show(self) -> None:
        waited_s = time.monotonic() - self._start
        self._say(f"{_CLEAR_LINE}waiting for the first token, {waited_s:.0f} s (Ctrl-C stops)")
        self._is_shown = True
        self._timer = self._call_later(1.0)

    def _call_later(self, pause_s: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(pause_s, self._show)

    def _say(self, text: str) -> None:
        self._people.write(text)
        self._people.flush()
