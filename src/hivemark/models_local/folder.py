"""The folder of pulled models, and its index: one JSON record beside each file.

    NAME.gguf             a whole, verified file
    NAME.gguf.json        its record: the model is there when this is
    NAME.gguf.part        an unfinished download, with its note NAME.gguf.part.json (`partial`)

A record is written last and removed first, each in one step, by the command that holds the lock of the name.
Whoever reads meets the old state or the new one.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from hivemark.errors import InvalidError, NotFoundError
from hivemark.gguf.facts import ModelFacts
from hivemark.models_local.files import sync_folder, write_durably
from hivemark.models_local.source import NAME

RECORD_SUFFIX: Final = ".gguf.json"
PART_SUFFIX: Final = ".gguf.part"
RECORD_BYTES_MAX: Final = 65_536
VERSION: Final = 1

State: TypeAlias = frozenset[tuple[str, int, int, int]]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a pulled model. `stamp` is of the file that `sha256` was computed from."""

    version: int = VERSION
    name: str
    sha256: str
    size_bytes: int
    stamp: str
    origin: str
    commit: str | None
    pulled_at: str
    facts: ModelFacts


@dataclass(frozen=True, slots=True)
class Listing:
    """Every model of a folder by name; `damaged` are names whose record cannot be read, with the reason."""

    records: tuple[Record, ...]
    damaged: tuple[tuple[str, str], ...]
    unfinished: tuple[str, ...]


class ModelFolder:
    """Paths and records; a folder that does not exist is an empty one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        """The model itself."""
        return self.path / f"{name}.gguf"

    def part(self, name: str) -> Path:
        """What there is of it so far."""
        return self.path / f"{name}{PART_SUFFIX}"

    def note(self, name: str) -> Path:
        """What `part` is a part of."""
        return self.path / f"{name}{PART_SUFFIX}.json"

    def record_file(self, name: str) -> Path:
        """Its place in the index."""
        return self.path / f"{name}{RECORD_SUFFIX}"

    def listing(self) -> Listing:
        """Everything here, by name."""
        records, damaged, unfinished = [], [], []
        for file in sorted(self.path.glob("*.gguf*")):
            if file.name.endswith(RECORD_SUFFIX):
                name = file.name.removesuffix(RECORD_SUFFIX)
                try:
                    records.append(self.record(name))
                except InvalidError as error:
                    damaged.append((name, error.message))
                except NotFoundError:
                    continue  # removed while we looked
            elif file.name.endswith(PART_SUFFIX):
                unfinished.append(file.name.removesuffix(PART_SUFFIX))
        return Listing(tuple(records), tuple(damaged), tuple(unfinished))

    def record(self, name: str) -> Record:
        """Raises `NotFoundError` code `model_not_here`, `InvalidError` code `model_record_damaged`."""
        try:
            with self.record_file(name).open("rb") as file:
                raw = file.read(RECORD_BYTES_MAX + 1)
        except FileNotFoundError as error:
            raise NotFoundError(
                f"there is no model {name} on this machine", code="model_not_here", hint="hivemark models ls"
            ) from error
        except OSError as error:
            raise _damaged(name, error.strerror or str(error)) from error
        try:
            record = msgspec.json.decode(raw, type=Record)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _damaged(name, str(error)) from error
        if record.name != name or NAME.fullmatch(name) is None or record.version != VERSION:
            raise _damaged(name, "it is the record of another model or version")
        return record

    def add(self, record: Record) -> None:
        """From now on the model is here."""
        write_durably(self.record_file(record.name), msgspec.json.format(msgspec.json.encode(record)))

    def remove(self, name: str) -> None:
        """From now on it is not; what an earlier removal left is removed too."""
        for path in (self.record_file(name), self.file(name), self.note(name), self.part(name)):
            path.unlink(missing_ok=True)
        sync_folder(self.path)

    def state(self) -> State:
        """Differs after every change of the index; cheap enough to ask every second."""
        try:
            with os.scandir(self.path) as entries:
                found = [entry for entry in entries if entry.name.endswith(RECORD_SUFFIX)]
                stats = [(entry.name, entry.stat()) for entry in found]
        except FileNotFoundError:
            return frozenset()
        return frozenset((name, each.st_mtime_ns, each.st_size, each.st_ino) for name, each in stats)


def stamp_of(path: Path) -> str:
    """Changes when the file's content does, unless somebody takes pains."""
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _damaged(name: str, reason: str) -> InvalidError:
    return InvalidError(
        f"the record of {name} cannot be read: {reason}",
        code="model_record_damaged",
        hint=f"hivemark models rm {name}, then pull it again",
    )
