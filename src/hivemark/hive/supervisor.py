"""Workers on demand: loaded at the first lease, started anew after a fault, withdrawn after three in a row.

An engine owns its worker: starting and ending happen in its own tasks, everybody else waits. One model is
loaded at a time on this machine, and at most `loaded_max` stay loaded.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import msgspec

from hivemark.api.link import OfferedModel
from hivemark.hive.clock import Clock
from hivemark.hive.engines.base import Chunk, EngineFacts
from hivemark.hive.engines.openai import ask
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.process import WorkerOrder, WorkerProcess, start_worker
from hivemark.hive.request import EffectiveRequest

TRIES_MAX: Final = 3
WITHDRAWN_S: Final = 60.0
WITHDRAWN_MAX_S: Final = 900.0

_log: Final = logging.getLogger(__name__)


class LoadGate:
    """One load at a time; the least recently used idle worker makes room for the next."""

    def __init__(self, *, loaded_max: int) -> None:
        self._loaded_max = loaded_max
        self._lock = asyncio.Lock()
        self._engines: list[WorkerEngine] = []

    def admit(self, engine: "WorkerEngine") -> None:
        """Count this engine in."""
        self._engines.append(engine)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The caller may load now."""
        async with self._lock:
            loaded = [engine for engine in self._engines if engine.loaded]
            idle = sorted((engine for engine in loaded if not engine.busy), key=lambda e: e.used_us)
            for engine in idle[: max(0, len(loaded) - self._loaded_max + 1)]:
                _log.info("worker_unloaded", extra={"model": engine.name})
                await engine.unload()
            yield


class WorkerSession:
    """A place at one running worker."""

    def __init__(self, http: aiohttp.ClientSession, worker: WorkerProcess, name: str) -> None:
        self.facts = worker.facts
        self._http = http
        self._worker = worker
        self._name = name

    def answer(self, request: EffectiveRequest) -> AsyncGenerator[Chunk, None]:
        """The answer; raises `EngineFailure`."""
        return ask(
            self._http,
            f"{self._worker.url}/v1",
            request,
            model=self._name,
            headers={"Authorization": f"Bearer {self._worker.token}"},
        )


class WorkerEngine:
    """One model file behind a supervised worker."""

    def __init__(
        self,
        order: WorkerOrder,
        offered: OfferedModel,
        facts: EngineFacts,
        *,
        gate: LoadGate,
        http: aiohttp.ClientSession,
        clock: Clock,
        concurrency: int = 1,
        withdrawn_s: float = WITHDRAWN_S,
    ) -> None:
        self.name = offered.name
        self.facts = facts
        self.used_us = 0
        self.reason: str | None = None
        self._order = order
        self._offered = offered
        self._gate = gate
        self._http = http
        self._clock = clock
        self._withdrawn_s = withdrawn_s
        self._places = asyncio.Semaphore(concurrency)
        self._sessions = 0
        self._worker: WorkerProcess | None = None
        self._starting: asyncio.Task[WorkerProcess] | None = None
        self._faults = 0
        self._withdrawals = 0
        self._withdrawn_until_us = 0
        gate.admit(self)

    @property
    def loaded(self) -> bool:
        """Whether a worker has this model in memory."""
        return self._worker is not None and self._worker.alive

    @property
    def busy(self) -> bool:
        """Whether somebody uses it or waits for it."""
        return self._sessions > 0

    @property
    def withdrawn(self) -> bool:
        """Whether it failed too often and is given a rest."""
        return self._clock.mono_us() < self._withdrawn_until_us

    @property
    def pid(self) -> int | None:
        """The worker's process, for health."""
        return self._worker.pid if self._worker is not None and self._worker.alive else None

    @property
    def offered(self) -> OfferedModel | None:
        """None while withdrawn."""
        return None if self.withdrawn else msgspec.structs.replace(self._offered, loaded=self.loaded)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[WorkerSession]:
        """As `Engine.session`."""
        self._sessions += 1
        try:
            async with self._places:
                worker = await self._ensure_ready()
                try:
                    yield WorkerSession(self._http, worker, self.name)
                except EngineFailure as failure:
                    if failure.at_fault:
                        await self._fault(failure, worker)
                    raise
                self._faults = self._withdrawals = 0
                self.reason = None
        finally:
            self._sessions -= 1
            self.used_us = self._clock.mono_us()

    async def unload(self) -> None:
        """End the worker; the next lease loads it again."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop()

    async def close(self) -> None:
        """End whatever runs or is being started."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self.unload()

    async def _ensure_ready(self) -> WorkerProcess:
        """The running worker. A load goes on when the one who asked for it is cancelled."""
        if self.withdrawn:
            message = f"withdrawn after {TRIES_MAX} failures in a row: {self.reason}"
            raise EngineFailure(Stage.LOAD, "model_withdrawn", message, at_fault=False)
        if self._worker is not None and self._worker.alive:
            return self._worker
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name=f"load-{self.name}")
            self._starting.add_done_callback(self._started)
        return await asyncio.shield(self._starting)

    def _started(self, starting: asyncio.Task[WorkerProcess]) -> None:
        self._starting = None
        if not starting.cancelled():
            starting.exception()  # whoever waited has raised it; nobody may have waited

    async def _start(self) -> WorkerProcess:
        async with self._gate.turn():
            begun_us = self._clock.mono_us()
            try:
                worker = await start_worker(self._order)
                await self._require_digest(worker)
            except EngineFailure as failure:
                await self._fault(failure, None)
                raise
            self._worker = worker
            seconds = (self._clock.mono_us() - begun_us) / 1_000_000
            _log.info(
                "worker_ready", extra={"model": self.name, "pid": worker.pid, "seconds": round(seconds, 3)}
            )
            return worker

    async def _require_digest(self, worker: WorkerProcess) -> None:
        """The worker has to have read the very file that is offered."""
        told = worker.facts.model.weights_sha256 if worker.facts.model else None
        if self._offered.weights_sha256 is not None and told != self._offered.weights_sha256:
            await worker.stop()
            raise EngineFailure(Stage.LOAD, "digest_mismatch", "the worker read another file than is offered")

    async def _fault(self, failure: EngineFailure, worker: WorkerProcess | None) -> None:
        """Count it once for each worker, end that worker, withdraw the model after the third in a row."""
        if worker is not None and worker is not self._worker:
            return  # others that were using the same worker saw the same fault
        self._faults += 1
        self.reason = f"{failure.stage}/{failure.code}: {failure.message}"
        fields = {
            "model": self.name,
            "stage": str(failure.stage),
            "code": failure.code,
            "tries": self._faults,
        }
        _log.warning("worker_fault", extra=fields | {"reason": failure.message})
        await self.unload()
        if self._faults >= TRIES_MAX:
            self._withdraw()

    def _withdraw(self) -> None:
        rest_s = min(self._withdrawn_s * 2**self._withdrawals, WITHDRAWN_MAX_S)
        self._faults = 0
        self._withdrawals += 1
        self._withdrawn_until_us = self._clock.mono_us() + int(rest_s * 1_000_000)
        _log.error("model_withdrawn", extra={"model": self.name, "seconds": rest_s, "reason": self.reason})
