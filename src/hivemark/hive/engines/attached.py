"""An OpenAI-compatible server that runs anyway (vLLM, llama.cpp, …): used, never started or stopped."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import msgspec

from hivemark.api.link import OfferedModel
from hivemark.hive.engines.base import Chunk, EngineFacts
from hivemark.hive.engines.openai import ask
from hivemark.hive.failure import EngineFailure
from hivemark.hive.request import EffectiveRequest
from hivemark.protocol.receipt import Engine as EngineRef
from hivemark.protocol.receipt import Model as ModelRef

MODELS_MAX: Final = 256
ANSWER_BYTES_MAX: Final = 1_048_576
LIST_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)

_log: Final = logging.getLogger(__name__)


class _ModelEntry(msgspec.Struct):
    id: str
    weights_sha256: str | None = None


class _ModelList(msgspec.Struct):
    data: tuple[_ModelEntry, ...]


class AttachedServer:
    """One server. `refresh` reads which models it has; while it does not answer, it offers none."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        *,
        name: str,
        url: str,
        headers: Mapping[str, str],
        concurrency: int,
    ) -> None:
        self.name = name
        self.reason: str | None = "not asked yet"
        self.engines: tuple[AttachedEngine, ...] = ()
        self._http = http
        self._url = url.rstrip("/")
        self._headers = dict(headers)
        self._places = asyncio.Semaphore(concurrency)

    async def refresh(self) -> None:
        """Ask for the list of models; failing is a fact, not an error."""
        try:
            entries = await self._list()
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, ValueError) as error:
            if self.engines or self.reason == "not asked yet":
                _log.warning("engine_unreachable", extra={"engine": self.name, "reason": str(error)})
            self.reason = f"{type(error).__name__}: {error}"
            self.engines = ()
            return
        self.reason = None
        known = {(engine.name, engine.weights_sha256): engine for engine in self.engines}
        self.engines = tuple(
            known.get((entry.id, entry.weights_sha256))
            or AttachedEngine(self, entry.id, entry.weights_sha256)
            for entry in entries
        )

    async def _list(self) -> tuple[_ModelEntry, ...]:
        async with self._http.get(
            f"{self._url}/models", headers=self._headers, timeout=LIST_TIMEOUT, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise ValueError(f"the list of models is answered with {response.status}")
            raw = await response.content.read(ANSWER_BYTES_MAX)
        return msgspec.json.decode(raw, type=_ModelList).data[:MODELS_MAX]

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the requests that the server is asked to take at once."""
        async with self._places:
            yield

    def answer(self, request: EffectiveRequest, model: str) -> AsyncGenerator[Chunk, None]:
        """As `Session.answer`."""
        return ask(self._http, self._url, request, model=model, headers=self._headers)


class AttachedEngine:
    """One model of an attached server; without a digest it is offered as unpinned."""

    def __init__(self, server: AttachedServer, name: str, weights_sha256: str | None) -> None:
        self.name = name
        self.weights_sha256 = weights_sha256
        self._server = server
        self.facts = EngineFacts(
            engine=EngineRef(
                name=server.name,
                version=None,
                build=None,
                backend=None,
                dtype=None,
                architecture=None,
                threads=None,
            ),
            model=ModelRef(
                name=name,
                weights_sha256=weights_sha256,
                tokenizer_sha256=None,
                template_sha256=None,
                quantisation=None,
            ),
        )

    @property
    def offered(self) -> OfferedModel | None:
        return OfferedModel(
            name=self.name, weights_sha256=self.weights_sha256, engine=self._server.name, loaded=True
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator["AttachedEngine"]:
        async with self._server.place():
            try:
                yield self
            except EngineFailure as failure:
                if failure.at_fault:  # it is not ours to start anew; see whether it still stands
                    await self._server.refresh()
                raise

    def answer(self, request: EffectiveRequest) -> AsyncGenerator[Chunk, None]:
        return self._server.answer(request, self.name)

    async def close(self) -> None:
        return
