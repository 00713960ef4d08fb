"""All engines of this hive: which there are, which are offered now, and which one serves a request."""

import asyncio
import logging
from pathlib import Path
from typing import Final, Literal

import aiohttp

from hivemark.api.link import Offer, OfferedModel
from hivemark.errors import InvalidError
from hivemark.hive.catalog import CatalogModel
from hivemark.hive.clock import Clock
from hivemark.hive.config import AttachedUrl, HiveConfig
from hivemark.hive.engines.attached import AttachedServer
from hivemark.hive.engines.base import Engine, EngineFacts
from hivemark.hive.engines.noop import NoopEngine
from hivemark.hive.llama import COMMAND, OWN, choose, context_of, llama_trouble
from hivemark.hive.process import WorkerOrder
from hivemark.hive.request import EffectiveRequest
from hivemark.hive.supervisor import LoadGate, WorkerEngine
from hivemark.protocol.receipt import Engine as EngineRef
from hivemark.protocol.receipt import Model as ModelRef

KEY_FILE_BYTES_MAX = 4_096
_log: Final = logging.getLogger(__name__)


class EngineStable:
    """Built from the configuration and the catalog; `offer` is what the coordinator is told."""

    def __init__(
        self,
        config: HiveConfig,
        catalog: tuple[CatalogModel, ...],
        *,
        http: aiohttp.ClientSession,
        clock: Clock,
        version: str,
    ) -> None:
        self._config = config
        self._http = http
        self._clock = clock
        self._version = version
        self._noop = NoopEngine(version=version)
        self._gate = LoadGate(loaded_max=config.loaded_max)
        self._catalog: dict[CatalogModel, WorkerEngine] = {}
        self._leaving: list[WorkerEngine] = []
        self.replace_catalog(catalog)
        self.servers = tuple(_server(engine, http) for engine in config.engines)

    @property
    def workers(self) -> tuple[WorkerEngine, ...]:
        """One engine for each file of the catalog."""
        return tuple(self._catalog.values())

    @property
    def files_in_use(self) -> frozenset[Path]:
        """The files of models that are loaded, being loaded, or wanted by somebody."""
        return frozenset(model.path for model, each in self._catalog.items() if each.loaded or each.busy)

    def replace_catalog(self, catalog: tuple[CatalogModel, ...]) -> None:
        """Offer these files from now on; what is no longer among them finishes what it does (`tidy`)."""
        before, self._catalog = self._catalog, {}
        for model in catalog:
            if (engine := before.pop(model, None) or self._engine(model)) is not None:
                self._catalog[model] = engine
        self._leaving += before.values()

    def _engine(self, model: CatalogModel) -> WorkerEngine | None:
        """None with a line in the log for a file that no engine here computes."""
        wanted = model.engine or self._config.worker.engine
        choice = choose(wanted, model.facts, model.size_bytes, trouble=llama_trouble())
        if choice.engine is None:
            _log.warning("model_not_offered", extra={"model": model.name, "reason": choice.reason})
            return None
        if choice.reason is not None:
            _log.warning("engine_fallback", extra={"model": model.name, "reason": choice.reason})
        return _worker_engine(
            self._config,
            model,
            choice.engine,
            gate=self._gate,
            http=self._http,
            clock=self._clock,
            version=self._version,
        )

    async def tidy(self) -> None:
        """End the workers of removed models that nobody uses any more."""
        idle = [engine for engine in self._leaving if not engine.busy]
        self._leaving = [engine for engine in self._leaving if engine.busy]
        await asyncio.gather(*(engine.close() for engine in idle))

    def offer(self) -> Offer:
        """As it stands now."""
        hive = self._config.hive
        return Offer(
            name=hive.name,
            region=hive.region,
            slots=hive.slots,
            models=tuple(model for engine in self._engines() if (model := engine.offered) is not None),
            simulated=hive.simulated,
        )

    def engine_for(self, request: EffectiveRequest) -> Engine | None:
        """The engine that serves this request: by digest where it is pinned, else by name."""
        if request.model is None:
            return self._noop
        for engine in self._engines():
            if _serves(engine.offered, request):
                return engine
        return None

    async def refresh(self) -> None:
        """Ask the attached servers what they have."""
        await asyncio.gather(*(server.refresh() for server in self.servers))

    async def close(self) -> None:
        """End every worker."""
        await asyncio.gather(*(engine.close() for engine in (*self.workers, *self._leaving)))

    def _engines(self) -> tuple[Engine, ...]:
        return (*self.workers, *(engine for server in self.servers for engine in server.engines))


def _serves(offered: OfferedModel | None, request: EffectiveRequest) -> bool:
    assert request.model is not None
    if offered is None:
        return False
    if request.model.weights_sha256 is None:
        return offered.name == request.model.name
    return offered.weights_sha256 == request.model.weights_sha256


def _worker_engine(
    config: HiveConfig,
    model: CatalogModel,
    engine: Literal["worker", "llama.cpp"],
    *,
    gate: LoadGate,
    http: aiohttp.ClientSession,
    clock: Clock,
    version: str,
) -> WorkerEngine:
    worker = config.worker
    order = WorkerOrder(
        command=worker.command if engine == OWN else COMMAND,
        model_path=str(model.path),
        model_name=model.name,
        threads=config.threads,
        load_timeout_s=worker.load_timeout_s,
        memory_bytes_max=worker.memory_bytes_max,
    )
    offered = OfferedModel(
        name=model.name,
        weights_sha256=model.weights_sha256,
        engine=engine,
        quantisation=model.quantisation,
        context_tokens=context_of(engine, model.context_tokens),
        bytes=model.size_bytes,
    )
    return WorkerEngine(
        order,
        offered,
        _facts_before_load(model, engine, version if engine == OWN else None),
        gate=gate,
        http=http,
        clock=clock,
        concurrency=worker.concurrency,
        withdrawn_s=worker.withdrawn_s,
    )


def _facts_before_load(model: CatalogModel, engine: str, version: str | None) -> EngineFacts:
    """For the receipt of an attempt whose worker never said what it is."""
    return EngineFacts(
        engine=EngineRef(
            name=engine,
            version=version,
            build=None,
            backend=None,
            dtype=None,
            architecture=None,
            threads=None,
        ),
        model=ModelRef(
            name=model.name,
            weights_sha256=model.weights_sha256,
            tokenizer_sha256=model.facts.tokenizer_sha256 if model.facts else None,
            template_sha256=model.facts.template_sha256 if model.facts else None,
            quantisation=model.quantisation,
        ),
    )


def _server(engine: AttachedUrl, http: aiohttp.ClientSession) -> AttachedServer:
    headers = {}
    if engine.api_key_file is not None:
        headers["Authorization"] = f"Bearer {_api_key(Path(engine.api_key_file))}"
    return AttachedServer(
        http, name=engine.name, url=engine.url, headers=headers, concurrency=engine.concurrency
    )


def _api_key(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(KEY_FILE_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"the API key file {path} cannot be read", code="api_key_unreadable") from error
