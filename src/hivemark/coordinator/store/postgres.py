"""PostgreSQL: a pool, one transaction per operation, tried again when it lost a race to another."""

from typing import Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from hivemark.coordinator.store.database import Operation, T, as_known_error

TRIES_MAX: Final = 5
POOL_SIZE: Final = 8

# Deadlock, serialisation failure, and a unique key that somebody else has just taken: run again, the
# operation sees the other's row and says so in our words.
_LOST_RACES: Final = frozenset({"40P01", "40001", "23505"})


def postgres_engine(url: URL, *, options: str = "") -> Engine:
    """`options` are server settings for each of its connections."""
    arguments = {"options": options} if options else {}
    return create_engine(
        url, pool_size=POOL_SIZE, max_overflow=POOL_SIZE, pool_pre_ping=True, connect_args=arguments
    )


class PostgresDatabase:
    """A `Database` behind a URL."""

    def __init__(self, url: URL) -> None:
        self._writes = postgres_engine(url)
        self._casual_writes = postgres_engine(url, options="-c synchronous_commit=off")
        self._reads = self._writes.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def write(self, operation: Operation[T], *, durable: bool = True) -> T:
        engine = self._writes if durable else self._casual_writes
        for tries in range(1, TRIES_MAX + 1):
            try:
                with engine.begin() as connection:
                    return operation(connection)
            except DBAPIError as error:
                if tries == TRIES_MAX or getattr(error.orig, "sqlstate", None) not in _LOST_RACES:
                    raise as_known_error(error) from error
        raise AssertionError("unreachable: the last try returns or raises")

    def read(self, operation: Operation[T]) -> T:
        try:
            with self._reads.begin() as connection:
                return operation(connection)
        except DBAPIError as error:
            raise as_known_error(error) from error

    def close(self) -> None:
        self._writes.dispose()
        self._casual_writes.dispose()
