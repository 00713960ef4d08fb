"""Disks that can be filled: a small real file system, and a process that may not make any file longer."""

import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

CHUNK_BYTES = 4_096
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Disk(Protocol):
    """What a test does to the disk under a running program."""

    def fill(self, pid: int) -> None: ...
    def free(self, pid: int) -> None: ...


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A tmpfs of its own: a full one answers ENOSPC, as any disk does. Needs the right to mount."""

    mounted: Path

    @property
    def ballast(self) -> Path:
        return self.mounted / "ballast"

    def fill(self, pid: int) -> None:
        with self.ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(CHUNK_BYTES))
            except OSError:
                assert os.statvfs(self.mounted).f_bavail == 0

    def free(self, pid: int) -> None:
        self.ballast.unlink()


@dataclass(frozen=True, slots=True)
class NoRoom:
    """A file size limit of nothing: every write of the process to a file fails (EFBIG). Needs no rights."""

    def fill(self, pid: int) -> None:
        psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self, pid: int) -> None:
        psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, NO_LIMIT)


def mount(folder: Path, *, size_mib: int) -> SmallDisk | str:
    """A disk of that size at `folder`, or why there can be none here."""
    folder.mkdir(parents=True)
    options = f"size={size_mib}m,mode=0700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
    )
    return SmallDisk(folder) if done.returncode == 0 else done.stderr.strip()


def unmount(disk: SmallDisk) -> None:
    """Also when a program still has a file open on it."""
    subprocess.run(["umount", "--lazy", str(disk.mounted)], check=True)
