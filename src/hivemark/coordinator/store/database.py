"""How operations reach a database: `write` runs one in a transaction of its own and returns once it is
durable, `read` runs one on a snapshot. What an operation raises is raised again here, and nothing is written.

An operation may run more than once (a lost race on PostgreSQL), so it must not have other effects.
"""

import sqlite3
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, Row
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from hivemark.coordinator.store.files import STORAGE_FULL, STORAGE_FULL_HINT
from hivemark.errors import HivemarkError, InternalError, InvalidError, UnavailableError

_POSTGRES_DISK_FULL: Final = "53100"
# The second: the index of the write-ahead log, made when the file is opened, finds no room.
_SQLITE_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})

T = TypeVar("T")
Operation = Callable[[Connection], T]
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


class Database(Protocol):
    def write(self, operation: Operation[T], *, durable: bool = True) -> T:
        """`durable` False is for news that nobody was promised (a start, a heartbeat): the database may
        answer before it is on the disk. A durable write that follows takes it along."""
        ...

    def read(self, operation: Operation[T]) -> T: ...
    def close(self) -> None: ...


class DatabaseUnavailable(UnavailableError):
    """The database did not carry this out; nothing was written."""


def as_known_error(error: DBAPIError) -> HivemarkError:
    """A driver's error as one of ours: a broken constraint is our bug, a value with no
    place in a column whoever sent it's, anything else the database's."""
    reason = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
    if isinstance(error, IntegrityError):
        return InternalError(f"the database refused a row: {reason}", code="constraint_broken")
    if isinstance(error, DataError):
        return InvalidError("the database cannot hold this text or number", code="value_not_storable")
    if _is_full(error.orig):
        return DatabaseUnavailable(reason, code=STORAGE_FULL, hint=STORAGE_FULL_HINT)
    hint = "see that the database runs and that its disk has room and can be written"
    return DatabaseUnavailable(reason, code="database_unavailable", hint=hint)


def _is_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in _SQLITE_FULL
    return getattr(error, "sqlstate", None) == _POSTGRES_DISK_FULL
