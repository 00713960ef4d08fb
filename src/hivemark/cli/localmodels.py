"""The models on this machine: those that came with the program, of `hive.toml`, and pulled ones."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from hivemark.cli.home import Home
from hivemark.errors import HivemarkError, NotFoundError
from hivemark.gguf.facts import ModelFacts, read_facts
from hivemark.hive.catalog import CACHE_NAME, DigestCache
from hivemark.hive.config import ModelFile, load_config
from hivemark.models_local.folder import ModelFolder, Record
from hivemark.models_local.partial import Note, read_note
from hivemark.models_shipped import ShippedModel, shipped


class Kind(StrEnum):
    """How a model came here."""

    SHIPPED = "shipped"
    CONFIGURED = "configured"
    PULLED = "pulled"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """One file. None where it is not known; `problem` is why a hive cannot offer it."""

    name: str
    kind: Kind
    path: Path
    size_bytes: int | None = None
    sha256: str | None = None
    facts: ModelFacts | None = None
    origin: str | None = None
    commit: str | None = None
    pulled_at: str | None = None
    problem: str | None = None

    def as_object(self) -> dict[str, Any]:
        """For programs."""
        facts = asdict(self.facts) if self.facts else None
        return {**asdict(self), "path": str(self.path), "kind": str(self.kind), "facts": facts}


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A download that was interrupted."""

    name: str
    size_bytes: int
    total_bytes: int | None
    origin: str | None


def local_models(home: Home) -> tuple[LocalModel, ...]:
    """All of them, in the order in which a hive offers them."""
    folder = ModelFolder(home.models)
    listing = folder.listing()
    damaged = (
        LocalModel(name, Kind.PULLED, folder.file(name), problem=reason) for name, reason in listing.damaged
    )
    cache = DigestCache(home.hive / CACHE_NAME)
    return (
        *(_shipped(model) for model in shipped()),
        *(_configured(file, cache) for file in configured_files(home)),
        *(_pulled(record, folder) for record in listing.records),
        *damaged,
    )


def find_local(home: Home, name: str) -> LocalModel:
    """Raises `NotFoundError` code `model_not_here`."""
    for model in local_models(home):
        if model.name == name:
            return model
    raise NotFoundError(
        f"there is no model {name} on this machine", code="model_not_here", hint="hivemark models ls"
    )


def unfinished_pulls(home: Home) -> tuple[Unfinished, ...]:
    """What can be gone on with."""
    folder = ModelFolder(home.models)
    found = []
    for name in folder.listing().unfinished:
        note: Note | None = read_note(folder.note(name))
        try:
            size_bytes = folder.part(name).stat().st_size
        except FileNotFoundError:
            continue  # finished while we looked
        found.append(
            Unfinished(
                name, size_bytes, note.total_bytes if note else None, origin=note.origin if note else None
            )
        )
    return tuple(found)


def configured_files(home: Home) -> tuple[ModelFile, ...]:
    """What the hive's own settings name; none when this home has no hive."""
    try:
        return load_config(home.hive).models
    except NotFoundError:
        return ()


def names_taken(home: Home) -> dict[str, str]:
    """Names that no pulled model may have, each with whose it is."""
    return {model.name: "a model that came with hivemark" for model in shipped()} | {
        file.name: "a model of hive.toml" for file in configured_files(home)
    }


def _shipped(model: ShippedModel) -> LocalModel:
    return LocalModel(
        model.name,
        Kind.SHIPPED,
        model.path,
        size_bytes=model.size_bytes,
        sha256=model.weights_sha256,
        facts=read_facts(model.path),
    )


def _configured(file: ModelFile, cache: DigestCache) -> LocalModel:
    path = Path(file.path).expanduser()
    try:
        size_bytes, sha256 = path.stat().st_size, cache.known(path)
    except OSError as error:
        return LocalModel(file.name, Kind.CONFIGURED, path, problem=error.strerror)
    try:
        facts, problem = read_facts(path), None
    except HivemarkError as error:
        facts, problem = None, str(error)
    problem = problem or (facts.refusal if facts else None)
    return LocalModel(
        file.name, Kind.CONFIGURED, path, size_bytes=size_bytes, sha256=sha256, facts=facts, problem=problem
    )


def _pulled(record: Record, folder: ModelFolder) -> LocalModel:
    path = folder.file(record.name)
    return LocalModel(
        record.name,
        Kind.PULLED,
        path,
        size_bytes=record.size_bytes,
        sha256=record.sha256,
        facts=record.facts,
        origin=record.origin,
        commit=record.commit,
        pulled_at=record.pulled_at,
        problem=record.facts.refusal if path.exists() else "the file is gone",
    )
