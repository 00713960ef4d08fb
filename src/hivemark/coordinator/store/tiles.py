"""Files of the log in a folder, under the paths of C2SP tlog-tiles."""

import re
from pathlib import Path
from typing import Final

from hivemark.coordinator.store.files import read_whole, write_durably
from hivemark.errors import InvalidError

# Segments of a tile path: `tile`, a level or `entries`, `x001`, `067`, `000.p`, a width; or `checkpoint`.
_PATH: Final = re.compile(r"checkpoint|tile/(entries|[0-9]{1,2})(/x[0-9]{3})*/[0-9]{3}(\.p/[0-9]{1,3})?")


class FolderTileStore:
    """`ports.TileStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, path: str, content: bytes) -> None:
        write_durably(self._path(path), content)

    def read(self, path: str) -> bytes | None:
        """The file, or None; `InvalidError` for a path that no file of a log has."""
        return read_whole(self._path(path))

    def _path(self, path: str) -> Path:
        if _PATH.fullmatch(path) is None:
            raise InvalidError("no file of a log has this path", code="tile_path_malformed")
        return self._folder / path
