"""The store: every port on one database."""

from sqlalchemy import Connection, text

from hivemark.coordinator.store.apikeys import SqlApiKeys
from hivemark.coordinator.store.database import Database
from hivemark.coordinator.store.dialect import open_database, parse_database_url, require_whole
from hivemark.coordinator.store.hives import SqlHives
from hivemark.coordinator.store.jobs import SqlJobs
from hivemark.coordinator.store.keys import SqlKeys
from hivemark.coordinator.store.leases import SqlLeases
from hivemark.coordinator.store.log import SqlLog
from hivemark.coordinator.store.migrate import migrate, require_schema
from hivemark.coordinator.store.reads import SqlReads
from hivemark.coordinator.store.results import SqlResults
from hivemark.coordinator.store.tables import book_head, log_leader
from hivemark.errors import ConflictError
from hivemark.translog.merkle import EMPTY_ROOT


class SqlStore(SqlJobs, SqlLeases, SqlResults, SqlLog, SqlHives, SqlKeys, SqlApiKeys, SqlReads):
    """`ports.Store`; make it with `open_store`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @property
    def database(self) -> Database:
        """For checks that read across the ports (`fsck`)."""
        return self._db

    def ping(self) -> None:
        """Raises `DatabaseUnavailable` when the database does not answer."""
        self._db.read(lambda connection: connection.execute(text("SELECT 1")).one())

    def close(self) -> None:
        self._db.close()


def open_store(url: str, *, network: str = "local", create: bool = True) -> SqlStore:
    """Open the database at `url`, bringing it to this code's schema first when `create`.

    The first opening writes the network's name into the book; `ConflictError` `network_differs` when the
    book is another network's, `database_damaged` when a file cannot be what was written. Raises `SchemaNewer`
    and, without `create`, `SchemaMissing`.
    """
    parsed = parse_database_url(url)
    require_whole(parsed)
    if create:
        migrate(url)
    else:
        require_schema(parsed)
    store = SqlStore(open_database(parsed))
    try:
        store.database.write(lambda connection: _first_rows(connection, network))
    except BaseException:
        store.close()
        raise
    return store


def _first_rows(connection: Connection, network: str) -> None:
    book_network = connection.execute(book_head.select().with_for_update()).one_or_none()
    if book_network is None:
        connection.execute(book_head.insert(), {"id": 1, "network": network, "seq": 0})
        connection.execute(log_leader.insert(), _NEW_LOG)
    elif book_network.network != network:
        raise ConflictError(
            f"this database belongs to the network {book_network.network}",
            code="network_differs",
            hint="point HIVEMARK_HOME or the database URL at the right one",
        )


_NEW_LOG = {
    "id": 1,
    "epoch": 0,
    "holder": None,
    "until_ms": 0,
    "size": 0,
    "published_size": 0,
    "published_root": EMPTY_ROOT,
    "published_checkpoint": None,
    "released_size": 0,
}
