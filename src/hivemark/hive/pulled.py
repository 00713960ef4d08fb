"""The pulled models as this hive offers them: read from the index again and again, held while in use.

The file of a model in use has a shared lock, which `hivemark models rm` respects and a crash releases.
"""

import fcntl
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

from hivemark.hive.catalog import CatalogModel, DigestCache
from hivemark.models_local.folder import ModelFolder, Record, State, stamp_of

LOOK_EVERY_S: Final = 1.0

_log: Final = logging.getLogger(__name__)


class PulledModels:
    """One owner: `look` and `hold` are called by one task, off the event loop."""

    def __init__(self, path: Path, *, fixed: tuple[CatalogModel, ...], cache: DigestCache) -> None:
        self._folder = ModelFolder(path)
        self._fixed = fixed
        self._cache = cache
        self._seen: State | None = None
        self._trouble: str | None = None
        self._held: dict[Path, IO[bytes]] = {}

    def look(self) -> tuple[CatalogModel, ...] | None:
        """The whole catalog, fixed models first, when the index changed since the last look; else None.

        A model that cannot be offered is left out with a line in the log: one bad file never ends a hive.
        """
        try:
            state = self._folder.state()
            if state == self._seen:
                return None
            listing = self._folder.listing()
        except OSError as error:  # a folder that cannot be read now; what was found before stays
            self._tell_once(f"{self._folder.path}: {error.strerror}")
            return None
        for name, reason in listing.damaged:
            _log.warning("pulled_model_damaged", extra={"model": name, "reason": reason})
        names = {model.name for model in self._fixed}
        found = [self._model(record) for record in listing.records if not self._is_taken(record, names)]
        self._seen = state
        return (*self._fixed, *(model for model in found if model is not None))

    def hold(self, in_use: Iterable[Path]) -> None:
        """Keep a shared lock on exactly these files, those of other models let go."""
        wanted = {path for path in in_use if path.parent == self._folder.path}
        for path in self._held.keys() - wanted:
            self._held.pop(path).close()
        for path in wanted - self._held.keys():
            try:
                file = path.open("rb")
            except OSError:
                continue  # removed by force: what has it in memory finishes, and there is nothing to hold
            fcntl.flock(file, fcntl.LOCK_SH)
            self._held[path] = file

    def _tell_once(self, reason: str) -> None:
        if reason != self._trouble:
            _log.warning("pulled_models_unreadable", extra={"reason": reason})
        self._trouble = reason

    def _is_taken(self, record: Record, names: set[str]) -> bool:
        if record.name in names:
            reason = "another model of this hive has the name"
            _log.warning("pulled_model_not_offered", extra={"model": record.name, "reason": reason})
        return record.name in names

    def _model(self, record: Record) -> CatalogModel | None:
        path = self._folder.file(record.name)
        reason = self._difference(path, record)
        if reason is not None:
            _log.warning("pulled_model_not_offered", extra={"model": record.name, "reason": reason})
            return None
        return CatalogModel(
            name=record.name,
            path=path,
            weights_sha256=record.sha256,
            size_bytes=record.size_bytes,
            quantisation=record.facts.quantisation,
            context_tokens=record.facts.context_tokens,
            facts=record.facts,
        )

    def _difference(self, path: Path, record: Record) -> str | None:
        """Why the file is not the one that was pulled; it is read again only where it looks changed."""
        try:
            if stamp_of(path) == record.stamp or self._cache.digest(path) == record.sha256:
                return None
        except OSError as error:
            return f"{path}: {error.strerror}"
        return "the file changed since it was pulled"
