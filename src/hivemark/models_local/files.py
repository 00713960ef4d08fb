"""Files that are whole and on the disk or not there, and what a full disk is called."""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from hivemark.errors import UnavailableError

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RESERVE_BYTES_MAX: Final = 200 * 1_048_576
RESERVE_SHARE: Final = 100  # of the disk: what a download leaves free, so that nothing else runs dry


def write_durably(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step; it survives power loss once this returns."""
    draft = path.with_name(path.name + ".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in this folder survive power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def room_bytes(folder: Path) -> int:
    """What a download may still take on the disk of this folder."""
    disk = shutil.disk_usage(folder)
    return max(0, disk.free - min(RESERVE_BYTES_MAX, disk.total // RESERVE_SHARE))


def require_room(folder: Path, need_bytes: int) -> None:
    """Raises `UnavailableError` code `storage_full` before anything is fetched that cannot be kept."""
    room = room_bytes(folder)
    if need_bytes > room:
        raise UnavailableError(
            f"{size(need_bytes)} are missing and {folder} has room for {size(room)}",
            code="storage_full",
            hint=f"free {size(need_bytes - room)} there, or make {folder} a link to a larger disk",
        )


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1_000_000:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1_000_000_000 else f"{count / 1e9:,.2f} GB"
