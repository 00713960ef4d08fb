"""How operations reach a database: `write` runs one in a transaction of its own and returns once it is
durable, `read` runs one on a snapshot. What an operation raises is raised again here, and nothing is written.

An operation may run more than once (a lost race on PostgreSQL), so it must not have other effects.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, Row
from sqlalchemy.exc import DBAPIError, IntegrityError

from hivemark.errors import HivemarkError, InternalError, UnavailableError

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
    """A driver's error as one of ours: a broken constraint is our bug, anything else is the database's."""
    reason = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
    if isinstance(error, IntegrityError):
        return InternalError(f"the database refused a row: {reason}", code="constraint_broken")
    return DatabaseUnavailable(reason, code="database_unavailable")
