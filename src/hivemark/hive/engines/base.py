"""The interface between a running attempt and whatever computes it."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from hivemark.api.link import OfferedModel
from hivemark.hive.request import EffectiveRequest
from hivemark.protocol.receipt import Engine as EngineRef
from hivemark.protocol.receipt import Model as ModelRef
from hivemark.protocol.receipt import Usage


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the answer. The last ones carry why it ended and what was counted."""

    text: str = ""
    token_ids: tuple[int, ...] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Who computes, and what: as the engine tells it. None where it tells nothing."""

    engine: EngineRef
    model: ModelRef | None


class Session(Protocol):
    """An engine that is ready, with a place in it for one request."""

    @property
    def facts(self) -> EngineFacts: ...

    def chat(self, request: EffectiveRequest) -> AsyncGenerator[Chunk, None]:
        """The answer; raises `EngineFailure`. Closing the iterator ends the generation."""
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
