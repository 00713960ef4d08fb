"""Storage of the coordinator: the ports on SQLite and PostgreSQL, and files for blobs and tiles.

Rules about jobs, credits and the log do not belong here; they are pure and live in `jobs`, `credits` and
`translog`. What belongs here: tables, statements, transactions, fsync.
"""

from hivemark.coordinator.store.blobs import FolderBlobStore
from hivemark.coordinator.store.files import StorageUnavailable
from hivemark.coordinator.store.migrate import SchemaMissing, SchemaNewer, migrate
from hivemark.coordinator.store.store import SqlStore, open_store
from hivemark.coordinator.store.tiles import FolderTileStore

__all__ = [
    "FolderBlobStore",
    "FolderTileStore",
    "SchemaMissing",
    "SchemaNewer",
    "SqlStore",
    "StorageUnavailable",
    "migrate",
    "open_store",
]
