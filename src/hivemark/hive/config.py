"""The hive's settings: `hive.toml` in its home, written by joining, edited by people.

[coordinator]
url = "https://hive.example.org:8090"
network = "home-1a2b3c4d"
service_key = "<base64 of 32 bytes, pinned when the hive joined>"

[hive]
name = "attic"
region = "US"                # claimed; leave it out to claim none
slots = 2                    # attempts at once
threads = 1                  # of each worker; 0: an equal share of the machine's cores
simulated = ["region"]       # what is not real here, told in every receipt
shipped_models = true

[worker]
engine = "auto"              # our own for what it computes, else llama.cpp; or "hivemark", "llama.cpp"
command = ["…"]              # in the place of our own worker; speaks the worker start protocol
concurrency = 1              # requests at once to one worker
load_timeout_s = 120
loaded_max = 4
memory_bytes_max = 4_000_000_000

[[models]]
name = "my-model"
path = "/models/my-model.gguf"

[[engines]]                  # a server that runs anyway
name = "vllm"
url = "http://127.0.0.1:8000/v1"
api_key_file = "/etc/hivemark/vllm.key"
"""

import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from hivemark.api.joinlink import require_private_transport
from hivemark.errors import InvalidError, NotFoundError
from hivemark.hive.llama import Wanted
from hivemark.protocol.keys import PublicKey
from hivemark.protocol.shape import Name, Shape, to_shape

FILE_NAME: Final = "hive.toml"
KEY_NAME: Final = "hive.key"
SLOTS_MAX: Final = 256
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Label = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$")]
Region = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9-]{1,15}$")]


class Coordinator(Shape, frozen=True, kw_only=True):
    """Whom this hive works for."""

    url: Annotated[str, Meta(pattern="^https?://", max_length=1024)]
    network: Name
    service_key: str


class Hive(Shape, frozen=True, kw_only=True):
    """What it says of itself."""

    name: Label
    region: Region | None = None
    slots: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    simulated: tuple[Name, ...] = ()
    shipped_models: bool = True
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    health_port: Annotated[int, Meta(ge=0, le=65_535)] | None = None


class Worker(Shape, frozen=True, kw_only=True):
    """How model files are served."""

    command: Annotated[tuple[str, ...], Meta(min_length=1)] = (sys.executable, "-m", "hivemark.worker")
    engine: Wanted = "auto"
    concurrency: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    load_timeout_s: Seconds = 120.0
    loaded_max: Annotated[int, Meta(ge=1, le=256)] | None = None
    memory_bytes_max: Annotated[int, Meta(ge=67_108_864)] | None = None
    withdrawn_s: Seconds = 60.0


class ModelFile(Shape, frozen=True, kw_only=True):
    """One more file to offer; without an engine that of `[worker]`."""

    name: Name
    path: str
    engine: Wanted | None = None


class AttachedUrl(Shape, frozen=True, kw_only=True):
    """A server that runs anyway."""

    name: Label
    url: Annotated[str, Meta(pattern="^https?://", max_length=1024)]
    api_key_file: str | None = None
    concurrency: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 8


class _File(Shape, frozen=True, kw_only=True):
    coordinator: Coordinator
    hive: Hive
    worker: Worker = Worker()
    models: tuple[ModelFile, ...] = ()
    engines: tuple[AttachedUrl, ...] = ()


@dataclass(frozen=True, slots=True)
class HiveConfig:
    """Everything the agent is told, checked."""

    home: Path
    coordinator: Coordinator
    service_key: PublicKey
    hive: Hive
    worker: Worker
    models: tuple[ModelFile, ...]
    engines: tuple[AttachedUrl, ...]

    @property
    def threads(self) -> int:
        """Of each worker: what is asked for, or an equal share of the cores this process may use."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.hive.threads or max(1, cores // self.hive.slots)

    @property
    def loaded_max(self) -> int:
        """At least one worker for each slot, so that whoever needs room finds an idle one."""
        return max(self.worker.loaded_max or 4, self.hive.slots)


def load_config(home: Path) -> HiveConfig:
    """Read `home/hive.toml`; raises `NotFoundError` with advice, or `InvalidError` naming the member."""
    path = home / FILE_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{home} is no hive: there is no {FILE_NAME}",
            code="hive_not_joined",
            hint="hivemark join LINK",
        ) from error
    return parse_config(raw, home=home)


def parse_config(raw: bytes, *, home: Path) -> HiveConfig:
    """The strict reading of the file's bytes."""
    try:
        value = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"{FILE_NAME} is not TOML: {error}", code="config_malformed") from error
    file = to_shape(value, _File)
    parts = urlsplit(file.coordinator.url)
    require_private_transport(parts.hostname or "", tls=parts.scheme == "https")
    return HiveConfig(
        home=home,
        coordinator=file.coordinator,
        service_key=PublicKey.from_base64(file.coordinator.service_key, field="coordinator.service_key"),
        hive=file.hive,
        worker=file.worker,
        models=file.models,
        engines=file.engines,
    )


def encode_config(coordinator: Coordinator, hive: Hive, *, worker: Worker | None = None) -> bytes:
    """The file that joining writes; members at their defaults are left out."""
    tables: list[tuple[str, msgspec.Struct]] = [("coordinator", coordinator), ("hive", hive)]
    if worker is not None:
        tables.append(("worker", worker))
    text = "\n".join(f"[{name}]\n{_members(table)}" for name, table in tables)
    return text.encode("utf-8")


def _members(table: msgspec.Struct) -> str:
    defaults = {field.name: field.default for field in msgspec.structs.fields(table)}
    lines = [
        f"{name} = {_toml(value)}\n"
        for name, value in msgspec.structs.asdict(table).items()
        if value is not None and value != defaults[name]
    ]
    return "".join(lines)


def _toml(value: Any) -> str:
    """TOML's basic strings, numbers, booleans and flat lists are JSON's, but for DEL and lone surrogates."""
    encode: Callable[[Any], bytes] = msgspec.json.encode
    return encode(value).decode("utf-8").replace("\x7f", "\\u007f")
