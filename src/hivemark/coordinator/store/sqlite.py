"""SQLite: one writer thread with group commit, and read connections of their own per thread.

Operations that wait while a commit is being synced share the next one: each runs under a savepoint, so one
that fails takes nothing else with it, and no caller returns before the group is on the disk.
"""

import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from hivemark.coordinator.store.database import DatabaseUnavailable, Operation, T, as_known_error
from hivemark.errors import ConflictError

GROUP_MAX: Final = 64
BUSY_TIMEOUT_MS: Final = 5_000
# The same few pages change in every transaction: fewer, larger checkpoints write them less often. The
# write-ahead log takes this many pages (32 MiB).
_CHECKPOINT_PAGES: Final = 8_192

_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
    f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
)

_Job = tuple[Operation[Any], "Future[Any]"]


def sqlite_engine(path: Path, *, read_only: bool = False) -> Engine:
    """Connections that begin and commit only when told to: the driver's own rules would commit DDL early."""
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        for pragma in (*_PRAGMAS, *(["query_only = ON"] if read_only else [])):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def require_whole_file(path: Path) -> None:
    """Check the pages of a file beside which a write-ahead log stands, as after a kill.

    SQLite does not notice a log that belongs to another copy of the file: a restored copy beside the old log
    would become a mixture of both with the first write. Nothing is written here, so that the copy can still
    be used once the log is gone.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailable(str(error), code="database_unavailable") from error
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise ConflictError(
            f"{path.name} is damaged, or {log.name} is not its own: {verdict}",
            code="database_damaged",
            hint=f"restored a copy? put it back once more, without {log.name} and {path.name}-shm beside it",
        )


class SqliteDatabase:
    """A `Database` in one file. Close it: the writer thread ends and the file is checkpointed."""

    def __init__(self, path: Path) -> None:
        self._writes = sqlite_engine(path)
        self._reads = sqlite_engine(path, read_only=True)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._writer = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._writer.start()

    def write(self, operation: Operation[T], *, durable: bool = True) -> T:  # noqa: ARG002 - always is
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise DatabaseUnavailable("the store is closed", code="store_closed")
            self._queue.put((operation, future))
        return future.result()

    def read(self, operation: Operation[T]) -> T:
        try:
            with self._reads.connect() as connection:
                return _in_transaction(connection, "BEGIN", operation)
        except DBAPIError as error:
            raise as_known_error(error) from error

    def close(self) -> None:
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._writer.join()
        self._reads.dispose()
        self._writes.dispose()

    def _run(self) -> None:
        with self._writes.connect() as connection:
            while (group := self._next_group()) is not None:
                _commit_group(connection, group)

    def _next_group(self) -> list[_Job] | None:
        """Everything that waits, at least one; None once the store is closed."""
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._queue.put(None)  # ends the thread after this group
                break
            group.append(job)
        return group


def _in_transaction(connection: Connection, begin: str, operation: Operation[T]) -> T:
    connection.exec_driver_sql(begin)
    try:
        result = operation(connection)
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return result


def _commit_group(connection: Connection, group: list[_Job]) -> None:
    """Run the group in one transaction and answer its futures once it is durable."""
    answers: list[tuple[Future[Any], Any, BaseException | None]] = []

    def run(connection: Connection) -> None:
        for operation, future in group:
            answers.append((future, *_under_savepoint(connection, operation)))

    try:
        _in_transaction(connection, "BEGIN IMMEDIATE", run)
    except BaseException as error:  # noqa: BLE001 - every caller waits for an answer, and the next group too
        known = as_known_error(error) if isinstance(error, DBAPIError) else error
        for _, future in group:
            future.set_exception(known)
        return
    for future, result, failure in answers:
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


def _under_savepoint(
    connection: Connection, operation: Operation[T]
) -> tuple[T | None, BaseException | None]:
    """What the operation returned or raised; what it wrote is gone when it raised.

    Raises only when the savepoint itself cannot be handled: then the whole group is lost.
    """
    connection.exec_driver_sql("SAVEPOINT operation")
    try:
        result = operation(connection)
    except BaseException as error:  # noqa: BLE001 - handed to the caller that waits for it
        connection.exec_driver_sql("ROLLBACK TO operation")
        connection.exec_driver_sql("RELEASE operation")
        return None, as_known_error(error) if isinstance(error, DBAPIError) else error
    connection.exec_driver_sql("RELEASE operation")
    return result, None


def _roll_back(connection: Connection) -> None:
    """SQLite ends a transaction by itself on some errors (a full disk), so there may be none."""
    driver = connection.connection.driver_connection
    if driver is not None and driver.in_transaction:
        driver.rollback()
