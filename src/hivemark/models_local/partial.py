"""An unfinished download: a file that grows, a note of what it is a part of, and the lock of its name.

The lock is the part file's own, so a crash releases it and leaves nothing to clear up.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec
import psutil

from hivemark.errors import ConflictError
from hivemark.models_local.files import write_durably
from hivemark.models_local.folder import ModelFolder
from hivemark.models_local.source import Target

BOOT_TOLERANCE_S: Final = 60.0  # the clock may be set a little; a restart moves it further


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """`validator` is what the source calls this version (an ETag, a date), `total_bytes` the size of the
    whole, `booted` when the machine was started under which the part was written."""

    origin: str
    validator: str | None
    total_bytes: int | None
    booted: float


class Part:
    """Open for appending and locked; use `open_part`."""

    def __init__(self, folder: ModelFolder, name: str, file: IO[bytes]) -> None:
        self.path = folder.part(name)
        self._note_path = folder.note(name)
        self._file = file
        self.size_bytes = os.fstat(file.fileno()).st_size
        self.note = read_note(self._note_path)

    def why_not_usable(self, target: Target) -> str | None:
        """Why what is here cannot be gone on with; None when it can."""
        note = self.note
        if self.size_bytes == 0:
            return None
        if note is None:
            return "nobody knows what it is a part of"
        if note.origin != target.origin:
            return "it is a part of another file or version"
        total = target.size_bytes or note.total_bytes
        if total is not None and self.size_bytes > total:
            return "it is longer than the file"
        if target.sha256 is not None:
            return None  # the digest of the whole decides in the end
        if note.validator is None:
            return "neither a digest nor a version tells whether the rest belongs to it"
        if abs(note.booted - psutil.boot_time()) > BOOT_TOLERANCE_S:
            return "the machine was started again since, and no digest would show what that lost"
        return None

    def start_over(self) -> None:
        """Forget what is here."""
        self._file.truncate(0)
        self.size_bytes = 0
        self.note = None
        self._note_path.unlink(missing_ok=True)

    def begin(self, target: Target, *, validator: str | None, total_bytes: int | None) -> None:
        """What follows is this version of this file; kept on the disk before the first byte."""
        self.note = Note(
            origin=target.origin,
            validator=validator,
            total_bytes=total_bytes,
            booted=psutil.boot_time(),
        )
        write_durably(self._note_path, msgspec.json.encode(self.note))

    def write(self, portion: bytes) -> None:
        """Append; raises `OSError` when the disk is full, with what fitted kept."""
        rest = memoryview(portion)
        while rest:
            written = os.write(self._file.fileno(), rest)
            self.size_bytes += written
            rest = rest[written:]

    def sync(self) -> None:
        """Everything written so far survives power loss."""
        os.fsync(self._file.fileno())

    def forget_note(self) -> None:
        """The file is whole and has its record."""
        self._note_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove part and note."""
        self._note_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


@contextmanager
def open_part(folder: ModelFolder, name: str) -> Iterator[Part]:
    """The part of this name, made if need be; `ConflictError` code `pull_running` when it is in use."""
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder, name) as file:
        part = Part(folder, name, file)
        try:
            yield part
        finally:
            if part.size_bytes == 0 and _is_same(file, part.path):
                part.discard()


@contextmanager
def _locked(folder: ModelFolder, name: str) -> Iterator[IO[bytes]]:
    """The part file, locked. A command that was killed between naming the whole file and writing its record
    left a file, a note and no record: that file is the part."""
    while True:
        path = folder.file(name) if _was_cut_off(folder, name) else folder.part(name)
        with path.open("ab", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    f"another command is at work on {name}",
                    code="pull_running",
                    hint="wait for it, then hivemark models ls; or choose another --name",
                ) from error
            if not _is_same(file, path):
                continue
            if path == folder.file(name):
                if not _was_cut_off(folder, name):
                    continue
                path.replace(folder.part(name))
            yield file
            return


def _was_cut_off(folder: ModelFolder, name: str) -> bool:
    return folder.file(name).exists() and folder.note(name).exists() and not folder.record_file(name).exists()


def _is_same(file: IO[bytes], path: Path) -> bool:
    """Whether the path still names the open file: whoever held the lock before may have renamed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def read_note(path: Path) -> Note | None:
    """None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
