"""All engines of this hive: which there are, which are offered now, and which one serves a request."""

import asyncio
from pathlib import Path

import aiohttp

from hivemark.api.link import Offer, OfferedModel
from hivemark.errors import InvalidError
from hivemark.hive.catalog import CatalogModel
from hivemark.hive.clock import Clock
from hivemark.hive.config import AttachedUrl, HiveConfig
from hivemark.hive.engines.attached import AttachedServer
from hivemark.hive.engines.base import Engine, EngineFacts
from hivemark.hive.engines.noop import NoopEngine
from hivemark.hive.process import WorkerOrder
from hivemark.hive.request import EffectiveRequest
from hivemark.hive.supervisor import LoadGate, WorkerEngine
from hivemark.protocol.receipt import Engine as EngineRef
from hivemark.protocol.receipt import Model as ModelRef

KEY_FILE_BYTES_MAX = 4_096


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
        self._noop = NoopEngine(version=version)
        gate = LoadGate(loaded_max=config.loaded_max)
        self.workers = tuple(
            _worker_engine(config, model, gate=gate, http=http, clock=clock, version=version)
            for model in catalog
        )
        self.servers = tuple(_server(engine, http) for engine in config.engines)

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
        await asyncio.gather(*(engine.close() for engine in self.workers))

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
    *,
    gate: LoadGate,
    http: aiohttp.ClientSession,
    clock: Clock,
    version: str,
) -> WorkerEngine:
    worker = config.worker
    order = WorkerOrder(
        command=worker.command,
        model_path=str(model.path),
        model_name=model.name,
        threads=config.threads,
        load_timeout_s=worker.load_timeout_s,
        memory_bytes_max=worker.memory_bytes_max,
    )
    offered = OfferedModel(
        name=model.name,
        weights_sha256=model.weights_sha256,
        engine="worker",
        quantisation=model.quantisation,
        context_tokens=model.context_tokens,
        bytes=model.size_bytes,
    )
    return WorkerEngine(
        order,
        offered,
        _facts_before_load(model, version),
        gate=gate,
        http=http,
        clock=clock,
        concurrency=worker.concurrency,
        withdrawn_s=worker.withdrawn_s,
    )


def _facts_before_load(model: CatalogModel, version: str) -> EngineFacts:
    """For the receipt of an attempt whose worker never said what it is."""
    return EngineFacts(
        engine=EngineRef(
            name="worker",
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
            tokenizer_sha256=None,
            template_sha256=None,
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
