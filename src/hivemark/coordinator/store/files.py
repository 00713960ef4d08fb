"""Files that are whole and on the disk, or not there: temporary name, fsync, rename, fsync of the folder."""

import errno
import os
import secrets
from pathlib import Path
from typing import Final

from hivemark.errors import UnavailableError

STORAGE_FULL: Final = "storage_full"
STORAGE_FULL_HINT: Final = "make room on the disk that holds the home; work goes on by itself"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StorageUnavailable(UnavailableError):
    """The disk did not take or give this; what was there before still is."""


def write_durably(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step; it survives power loss once this returns.

    Raises `StorageUnavailable` (a full disk, a missing right) and then leaves `path` as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        ensure_folder(path.parent)
        try:
            _write_synced(temporary, content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise unavailable(error, path) from error


def read_whole(path: Path) -> bytes | None:
    """The content, or None when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unavailable(error, path) from error


def ensure_folder(folder: Path) -> None:
    """Make the folder and the ones above it, each of them durably in its parent."""
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unavailable(error: OSError, path: Path) -> StorageUnavailable:
    message = f"{path.name}: {error.strerror}"
    if error.errno in _NO_ROOM:
        return StorageUnavailable(message, code=STORAGE_FULL, hint=STORAGE_FULL_HINT)
    return StorageUnavailable(message, code="storage_unavailable")


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
