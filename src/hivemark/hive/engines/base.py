"""The interface between a running attempt and whatever computes it."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from hivemark.api.link import OfferedModel
from hivemark.hive.request import EffectiveRequest
from hivemark.protocol.answers import ToolCallDelta
from hivemark.protocol.receipt import Engine as EngineRef
from hivemark.protocol.receipt import Model as ModelRef
from hivemark.protocol.receipt import Usage


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the answer. The last ones carry why it ended and what was counted.

    `raw` is what the engine sent for it, for the client of a call: an event of its stream, or its whole
    answer. Empty where the client gets nothing of it.
    """

    text: str = ""
    token_ids: tuple[int, ...] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Who computes, and what: as the engine tells it. None where it tells nothing."""

    engine: EngineRef
    model: ModelRef | None


class Session(Protocol):
    """An engine that is ready, with a place in it for one request."""

    @property
    def facts(self) -> EngineFacts: ...

    def answer(self, request: EffectiveRequest) -> AsyncGenerator[Chunk, None]:
        """The answer to a question or a call; raises `EngineFailure`. Closing it ends the generation."""
        ...


class Engine(Protocol):
    """One model that this hive can serve."""

    @property
    def offered(self) -> OfferedModel | None:
        """As the coordinator is told of it; None while it is withdrawn."""
        ...

    @property
    def facts(self) -> EngineFacts:
        """What is known of it before it has been loaded."""
        ...

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Waits for a free place and for the model to be loaded; raises `EngineFailure` of stage load.

        How the body ends is what the engine learns: an `EngineFailure` at fault makes it start anew.
        """
        ...

    async def close(self) -> None:
        """End it, whatever it is doing."""
        ...
