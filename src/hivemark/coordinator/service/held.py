"""Calls whose client this replica holds: what is known of them only here, and dies with this process.

The text of a call is never written down, so its body waits here for a lease, and what was relayed of its
answer stands here until the receipt has been checked against it. The gateway writes what it relays, services
in other threads write how it ends; each member has one writer.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from hivemark.errors import HivemarkError
from hivemark.jobs.request import OpenCall
from hivemark.protocol.answers import (
    AnswerMalformed,
    Endpoint,
    Piece,
    ToolCalls,
    read_chunk,
    read_whole,
)

_EVENT: Final = b"data: "

Over = Literal[
    "client_gone",
    "client_too_slow",
    "cancelled",
    "api_key_revoked",
    "api_key_expired",
    "budget_exhausted",
    "no_place",
    "engine_garbage",
    "hive_lost",
    "stopping",
]
"""Why nobody reads on."""
FAULTS: Final[frozenset[Over]] = frozenset({"engine_garbage", "hive_lost"})
"""Those that are the hive's doing: the call has failed, it was not called off."""


@dataclass(slots=True)
class Relayed:
    """What one attempt has said so far, and how much of it the client was given."""

    endpoint: Endpoint
    streams: bool
    texts: list[str] = field(default_factory=list)
    tool_calls: ToolCalls = field(default_factory=ToolCalls)
    unread_bytes: int = 0
    tokens: list[int] = field(default_factory=list)
    """How many tokens each of `texts` has at least: as the engine tells, else one if it says anything."""
    given: int = 0
    """How many of `texts` the client was given."""
    given_tokens: int = 0
    begun: bool = False
    """Whether the client was given anything at all: then no other attempt can take over."""
    complete: bool = False
    """Whether the attempt said that this is all."""

    def add(self, payload: bytes) -> Piece:
        """Take what a hive sent: one event of a stream, or a whole answer; raises `AnswerMalformed`.

        What is not exactly that is not relayed: a hive can put nothing else into a client's stream.
        """
        piece = self._read(payload)
        if piece.error is not None:
            raise AnswerMalformed(f"the engine broke off: {piece.error}", code="engine_error")
        self.texts.append(piece.text)
        self.tool_calls.add(piece.tool_calls)
        self.unread_bytes += piece.unread_bytes
        says_something = bool(piece.text or piece.tool_calls or piece.unread_bytes)
        self.tokens.append(int(says_something) if piece.token_ids is None else len(piece.token_ids))
        return piece

    def gave(self, count: int = 1) -> None:
        """The client was given the next `count` of them."""
        self.given_tokens += sum(self.tokens[self.given : self.given + count])
        self.given += count

    def _read(self, payload: bytes) -> Piece:
        if not self.streams:
            return read_whole(self.endpoint, payload)
        if not (payload.startswith(_EVENT) and payload.endswith(b"\n\n")) or b"\n" in payload[:-2]:
            raise AnswerMalformed("not one event", code="engine_garbage")
        return read_chunk(payload[len(_EVENT) : -2])

    @property
    def output(self) -> str:
        """All of it (spec/statements 5)."""
        return "".join(self.texts) + self.tool_calls.encode()

    @property
    def delivered(self) -> str:
        """What the client was given of the text. Tool calls count only when all of them arrived."""
        if self.complete and self.given == len(self.texts):
            return self.output
        return "".join(self.texts[: self.given])


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended for good. `failure` is None when it was completed."""

    state: str
    failure: HivemarkError | None = None


@dataclass(slots=True, eq=False)
class HeldCall:
    """One call while its client waits. `afforded_tokens` None: the hold covers all it may make."""

    job: str
    execution: str
    account: str
    api_key: str | None
    request: OpenCall
    streams: bool
    keeps_text: bool
    afforded_tokens: int | None = None
    attempt: str | None = None
    relayed: Relayed = field(init=False)
    over: Over | None = None
    refusal: tuple[int, bytes] | None = None
    """Status and error object with which an engine refused the call."""
    end: CallEnd | None = None

    def __post_init__(self) -> None:
        self.relayed = Relayed(self.request.endpoint, self.streams)

    def begin_attempt(self, attempt: str) -> None:
        """Another attempt is heard: nothing of an earlier one was given to the client."""
        assert not self.relayed.begun, "an answer that has begun is never tried again"
        self.attempt = attempt
        self.relayed = Relayed(self.request.endpoint, self.streams)
        self.refusal = None


class HeldCalls:
    """Every call of this replica, by execution."""

    def __init__(self, run: str) -> None:
        self.run = run
        """This run of this replica, as jobs name it in `held_by`."""
        self._calls: dict[str, HeldCall] = {}
        self._lock = threading.Lock()

    def add(self, call: HeldCall) -> None:
        """From now on its body can be leased."""
        with self._lock:
            self._calls[call.execution] = call

    def of(self, execution: str) -> HeldCall | None:
        """The call of an execution, if its client is here."""
        return self._calls.get(execution)

    def of_job(self, job: str) -> HeldCall | None:
        """The call that a job is."""
        with self._lock:
            return next((call for call in self._calls.values() if call.job == job), None)

    def forget(self, call: HeldCall) -> None:
        """Its client has been answered, or is gone."""
        with self._lock:
            self._calls.pop(call.execution, None)

    def all(self) -> Sequence[HeldCall]:
        """As of now."""
        with self._lock:
            return tuple(self._calls.values())


class _Failure(msgspec.Struct):
    code: str = "attempt_failed"
    message: str = "the attempt failed"
    stage: str = ""


def failure_of(text: str | None) -> tuple[str, str]:
    """Code and message of a stored failure."""
    failure = msgspec.json.decode(text, type=_Failure) if text else _Failure()
    return failure.code, failure.message
