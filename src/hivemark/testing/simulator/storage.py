"""The simulated disk: the real store on SQLite in memory, blobs and tiles in dicts, all of which outlive a
crash of the coordinator. Crashes and refusals happen where a real program would meet them: before a write, or
after it became durable and before anybody heard of it.
"""

import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from hivemark.coordinator.store.database import DatabaseUnavailable, Operation, T
from hivemark.coordinator.store.sqlite import sqlite_engine
from hivemark.coordinator.store.store import SqlStore, open_store

Fault = Callable[[str], None]
"""Called before and after each write with where it is (`before T`, `after T`); may raise."""


class SimulatedCrash(BaseException):
    """The process is gone at this instruction: nothing may catch this but the simulator."""


class DiskFull(OSError):
    """A file could not be written."""


class InlineDatabase:
    """A `store.database.Database` on one connection, without a thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begun = False
        self.fault: Fault = _no_fault

    def write(self, operation: Operation[T], *, durable: bool = True) -> T:
        """A durable write is there after a crash, whole; others only if a durable one came after them."""
        self.fault("before database")
        self._begin()
        self._run("SAVEPOINT operation")
        try:
            result = operation(self._connection)
        except BaseException:
            self._run("ROLLBACK TO operation")
            raise
        finally:
            self._run("RELEASE operation")
        if durable:
            self._run("COMMIT")
            self._begun = False
        self.fault("after database")
        return result

    def lose_what_is_not_durable(self) -> None:
        """The machine is gone, not the process alone."""
        if self._begun:
            self._run("ROLLBACK")
            self._begun = False

    def read(self, operation: Operation[T]) -> T:
        return operation(self._connection)

    def close(self) -> None:
        """The connection outlives every store on it."""

    def _begin(self) -> None:
        if not self._begun:
            self._run("BEGIN")
            self._begun = True

    def _run(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)


class MemoryBlobs:
    """A `ports.BlobStore`; what was put is there after a crash."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self.fault: Fault = _no_fault

    def put(self, content: bytes) -> str:
        self.fault("before blob")
        digest = sha256(content).hexdigest()
        self._blobs[digest] = content
        self.fault("after blob")
        return digest

    def get(self, digest: str) -> bytes | None:
        return self._blobs.get(digest)

    def ping(self) -> None:
        """It is always there."""


class MemoryTiles:
    """A `ports.TileStore`. It keeps every checkpoint that was ever written, for the question whether the
    log has told one history."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self.checkpoints: list[bytes] = []
        self.fault: Fault = _no_fault

    def write(self, path: str, content: bytes) -> None:
        self.fault(f"before tile {path}")
        self._files[path] = content
        if path == "checkpoint":
            self.checkpoints.append(content)
        self.fault(f"after tile {path}")

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)


class Disk:
    """Everything durable of one coordinator."""

    def __init__(self) -> None:
        self.database = InlineDatabase(_fresh_database())
        self.blobs = MemoryBlobs()
        self.tiles = MemoryTiles()

    def set_fault(self, fault: Fault) -> None:
        """Ask `fault` at every write from now on."""
        self.database.fault = self.blobs.fault = self.tiles.fault = fault

    def store(self) -> SqlStore:
        """The real store, as a process that has just started opens it."""
        return SqlStore(self.database)


NETWORK = "simulated"


def refuse_write(where: str) -> None:
    """Fail a write as the real stores do."""
    if "database" in where:
        raise DatabaseUnavailable("database or disk is full", code="database_unavailable")
    raise DiskFull(28, "No space left on device", where)


def _no_fault(where: str) -> None:
    """Nothing happens."""


@cache
def _template() -> sqlite3.Connection:
    """An empty database at the newest schema, made by the real migrations once per process."""
    with tempfile.TemporaryDirectory(prefix="hivemark-simulator-") as folder:
        path = Path(folder) / "template.db"
        open_store(f"sqlite:///{path}", network=NETWORK).close()
        template = sqlite3.connect(":memory:", check_same_thread=False)
        with sqlite3.connect(path) as made:
            made.backup(template)
        made.close()
    return template


@cache
def _connection() -> Connection:
    """One connection for all schedules of this process, so that statements are compiled once."""
    return sqlite_engine(Path(":memory:")).connect()


def _fresh_database() -> Connection:
    connection = _connection()
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.rollback()  # whatever the schedule before left open
    _template().backup(driver)
    return connection
