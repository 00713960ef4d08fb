"""Storage of the coordinator: the ports on SQLite and PostgreSQL, and files for blobs and tiles.

Rules about jobs, credits and the log do not belong here; they are pure and live in `jobs`, `credits` and
`translog`. What belongs here: tables, statements, transactions, fsync.
"""

from hivemark.coordinator.store.migrate import SchemaMissing, SchemaNewer, migrate
from hivemark.coordinator.store.store import SqlStore, open_store

__all__ = ["SchemaMissing", "SchemaNewer", "SqlStore", "migrate", "open_store"]
