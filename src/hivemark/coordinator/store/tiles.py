"""Files of the log in a folder, under the paths of C2SP tlog-tiles."""

from pathlib import Path

from hivemark.coordinator.store.files import read_whole, write_durably
from hivemark.translog.tiles import CHECKPOINT_PATH, parse_tile_path


class FolderTileStore:
    """`ports.TileStore`; both methods raise `InvalidError` for a path that no file of a log has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, path: str, content: bytes) -> None:
        write_durably(self._path(path), content)

    def read(self, path: str) -> bytes | None:
        return read_whole(self._path(path))

    def _path(self, path: str) -> Path:
        if path != CHECKPOINT_PATH:
            parse_tile_path(path)
        return self._folder / path
