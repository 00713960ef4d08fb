"""The writer thread: groups are one commit, failures stay with their caller, a full disk is survived."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from hivemark.coordinator.store.database import DatabaseUnavailable
from hivemark.coordinator.store.dialect import parse_database_url
from hivemark.coordinator.store.sqlite import SqliteDatabase
from hivemark.errors import InternalError, InvalidError


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    opened = SqliteDatabase(tmp_path / "x.db")
    opened.write(lambda c: c.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)").rowcount)
    yield opened
    opened.close()


def insert(number: int, size_bytes: int = 1) -> object:
    def operation(connection: Connection) -> int:
        connection.exec_driver_sql("INSERT INTO t VALUES (?, zeroblob(?))", (number, size_bytes))
        return number

    return operation


def stored(database: SqliteDatabase) -> list[int]:
    return database.read(lambda c: list(c.exec_driver_sql("SELECT n FROM t ORDER BY n").scalars()))


def test_every_connection_is_durable_and_checks_foreign_keys(database: SqliteDatabase) -> None:
    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]

    assert database.write(pragmas) == ["wal", 2, 1]
    assert database.read(pragmas) == ["wal", 2, 1]


def test_operations_that_wait_share_one_commit(database: SqliteDatabase) -> None:
    commits: list[str] = []

    @event.listens_for(database._writes, "before_cursor_execute")
    def _note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "COMMIT":
            commits.append(statement)

    gate, entered = threading.Event(), threading.Event()

    def blocking(_: Connection) -> None:
        entered.set()
        assert gate.wait(10)

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(database.write, blocking)
        assert entered.wait(10)
        rest = [pool.submit(database.write, insert(number)) for number in range(8)]
        while database._queue.qsize() < 8:
            pass
        gate.set()
        assert [future.result(10) for future in (first, *rest)] == [None, *range(8)]
    assert len(commits) == 2
    assert stored(database) == list(range(8))


def test_a_failure_takes_nothing_else_with_it(database: SqliteDatabase) -> None:
    database.write(insert(1))

    def half(connection: Connection) -> None:
        insert(2)(connection)
        raise LookupError("changed its mind")

    with pytest.raises(LookupError):
        database.write(half)
    with pytest.raises(InternalError) as refused:
        database.write(insert(1))
    assert refused.value.code == "constraint_broken"
    database.write(insert(3))
    assert stored(database) == [1, 3]


def test_a_full_disk_is_said_and_survived(database: SqliteDatabase) -> None:
    pages = database.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    limit = "PRAGMA max_page_count = {}"
    database.write(lambda c: c.exec_driver_sql(limit.format(pages + 5)).scalar_one())
    with pytest.raises(DatabaseUnavailable):
        database.write(insert(1, 1_000_000))
    database.write(insert(2))
    database.write(lambda c: c.exec_driver_sql(limit.format(1_000_000)).scalar_one())
    database.write(insert(3, 1_000_000))
    assert stored(database) == [2, 3]


def test_the_writer_outlives_a_group_it_lost(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong around the operations, callers are answered and the next group is served."""

    def broken(*_: object) -> object:
        raise LookupError("not the database's fault")

    with monkeypatch.context() as patched:
        patched.setattr("hivemark.coordinator.store.sqlite._under_savepoint", broken)
        with pytest.raises(LookupError):
            database.write(insert(1))
    database.write(insert(2))
    assert stored(database) == [2]


def test_readers_cannot_write(database: SqliteDatabase) -> None:
    with pytest.raises(DatabaseUnavailable):
        database.read(insert(1))
    assert stored(database) == []


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "y.db")
    database.close()
    database.close()
    with pytest.raises(DatabaseUnavailable):
        database.write(insert(1))


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://x/y", "oracle://x"]
)
def test_only_the_two_databases_are_opened(url: str) -> None:
    with pytest.raises(InvalidError):
        parse_database_url(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_usual_names_of_postgresql_are_understood(scheme: str) -> None:
    url = parse_database_url(f"{scheme}://user:secret@host:5433/name")
    assert (url.drivername, url.host, url.port) == ("postgresql+psycopg", "host", 5433)
