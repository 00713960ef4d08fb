"""The engine of the no-op benchmark: no model, no token, an empty answer and a receipt for it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from hivemark.api.link import OfferedModel
from hivemark.hive.engines.base import Chunk, EngineFacts
from hivemark.hive.request import EffectiveRequest
from hivemark.protocol.receipt import Engine as EngineRef


class NoopEngine:
    """Always there, always done."""

    def __init__(self, *, version: str) -> None:
        self.facts = EngineFacts(
            engine=EngineRef(
                name="noop",
                version=version,
                build=None,
                backend=None,
                dtype=None,
                architecture=None,
                threads=None,
            ),
            model=None,
        )

    @property
    def offered(self) -> OfferedModel | None:
        return None

    @asynccontextmanager
    async def session(self) -> AsyncIterator["NoopEngine"]:
        yield self

    async def answer(self, request: EffectiveRequest) -> AsyncGenerator[Chunk, None]:
        assert request.model is None
        yield Chunk(token_ids=(), finish_reason="stop")

    async def close(self) -> None:
        return
