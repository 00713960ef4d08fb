"""Every difference between the two databases: how a URL becomes a `Database`, and who else may be writing."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hivemark.coordinator.store.database import Database
from hivemark.coordinator.store.postgres import PostgresDatabase, postgres_engine
from hivemark.coordinator.store.sqlite import SqliteDatabase, require_whole_file, sqlite_engine
from hivemark.errors import InvalidError

_POSTGRES_NAMES: Final = ("postgres", "postgresql", "postgresql+psycopg")
_SQLITE_NAMES: Final = ("sqlite", "sqlite+pysqlite")
_MIGRATION_LOCK: Final = 0x486976656D61726B  # "Hivemark"; any number nobody else locks


def parse_database_url(text: str) -> URL:
    """`sqlite:///PATH` (a file) or `postgresql://…`; raises `InvalidError`."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise InvalidError(
            "not a database URL",
            code="database_url_malformed",
            hint="sqlite:////absolute/path.db or postgresql://user@host/name",
        ) from error
    if url.drivername in _POSTGRES_NAMES:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in _SQLITE_NAMES and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite+pysqlite")
    raise InvalidError(
        f"no store for {url.drivername}:// URLs without a file or server",
        code="database_url_unsupported",
        hint="sqlite:////absolute/path.db or postgresql://user@host/name",
    )


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def require_whole(url: URL) -> None:
    """Raises `ConflictError` `database_damaged`; a server looks after its own files."""
    if is_sqlite(url):
        require_whole_file(_file(url))


def open_database(url: URL) -> Database:
    return SqliteDatabase(_file(url)) if is_sqlite(url) else PostgresDatabase(url)


def plain_engine(url: URL) -> Engine:
    """An engine for migrations, without the writer thread."""
    return sqlite_engine(_file(url)) if is_sqlite(url) else postgres_engine(url)


def begin_alone(connection: Connection) -> None:
    """Begin a transaction that no other program's `begin_alone` overlaps; DDL included."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")


def commit_alone(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("COMMIT")
    else:
        connection.commit()


def _file(url: URL) -> Path:
    assert url.database, "parse_database_url lets no SQLite URL without a file through"
    return Path(url.database)
