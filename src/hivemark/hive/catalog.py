"""Which model files this hive has, and the digest of each: computed once, kept until the file changes."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hivemark.errors import InvalidError, NotFoundError
from hivemark.gguf.facts import ModelFacts, read_facts
from hivemark.hive.config import ModelFile
from hivemark.hive.llama import Wanted
from hivemark.models_local.folder import stamp_of
from hivemark.models_shipped import shipped

CACHE_NAME: Final = "digests.json"
CHUNK_BYTES: Final = 1_048_576

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A file that can be offered."""

    name: str
    path: Path
    weights_sha256: str
    size_bytes: int
    quantisation: str | None = None
    context_tokens: int | None = None
    facts: ModelFacts | None = None
    engine: Wanted | None = None


def build_catalog(
    home: Path, files: tuple[ModelFile, ...], *, with_shipped: bool
) -> tuple[CatalogModel, ...]:
    """Shipped models first, then the files; raises `InvalidError` for a missing file or a name used twice.

    Reads whole files the first time it meets them: call it off the event loop.
    """
    models = [*_shipped()] if with_shipped else []
    cache = DigestCache(home / CACHE_NAME)
    for index, file in enumerate(files):
        models.append(_from_file(file, cache, field=f"models[{index}]"))
    names = [model.name for model in models]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidError(f"the name {name} is used twice", code="model_name_taken", field="models")
    return tuple(models)


def _shipped() -> list[CatalogModel]:
    return [
        CatalogModel(
            name=model.name,
            path=model.path,
            weights_sha256=model.weights_sha256,
            size_bytes=model.size_bytes,
            quantisation=model.quantisation,
            context_tokens=model.context_tokens,
            facts=_facts(model.path),
        )
        for model in shipped()
    ]


def _from_file(file: ModelFile, cache: "DigestCache", *, field: str) -> CatalogModel:
    path = Path(file.path).expanduser()
    try:
        size_bytes = path.stat().st_size
        digest = cache.digest(path)
    except OSError as error:
        message = f"the model file {path} cannot be read: {error.strerror}"
        raise InvalidError(message, code="model_unreadable", field=f"{field}.path") from error
    facts = _facts(path)
    return CatalogModel(
        name=file.name,
        path=path,
        weights_sha256=digest,
        size_bytes=size_bytes,
        quantisation=facts.quantisation if facts else None,
        context_tokens=facts.context_tokens if facts else None,
        facts=facts,
        engine=file.engine,
    )


def _facts(path: Path) -> ModelFacts | None:
    """None with a line in the log for a file that our reader does not know: its worker may."""
    try:
        return read_facts(path)
    except (InvalidError, NotFoundError) as error:
        _log.warning("model_facts_unknown", extra={"path": str(path), "reason": str(error)})
        return None


class DigestCache:
    """Digests by path, size, modification time and inode. Losing the file costs time, nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._read()

    def known(self, path: Path) -> str | None:
        """The digest, if it was computed since the file last changed."""
        known = self._known.get(str(path.resolve()))
        return known[1] if known is not None and known[0] == stamp_of(path) else None

    def digest(self, path: Path) -> str:
        """SHA-256 of the file in hex."""
        known = self.known(path)
        if known is not None:
            return known
        key, stamp = str(path.resolve()), stamp_of(path)
        digest = _hash_file(path)
        _log.info("model_hashed", extra={"path": key, "sha256": digest})
        if stamp_of(path) == stamp:  # not while somebody still writes it
            self._known[key] = (stamp, digest)
            self._write()
        return digest

    def _read(self) -> dict[str, tuple[str, str]]:
        try:
            value = json.loads(self._path.read_bytes())
            return {str(key): (str(stamp), str(digest)) for key, (stamp, digest) in value.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            _log.warning("digest_cache_unreadable", extra={"reason": str(error)})
            return {}

    def _write(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        draft.replace(self._path)


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()
