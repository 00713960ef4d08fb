"""Signed results until they are acknowledged, on disk before anything is posted (docs/spec/link 5.1).

SQLite with `synchronous=FULL`: `put` has survived SIGKILL, and power loss with real fsync, once it returns.
Bounded by `core.RESULTS_MAX` (the core takes no lease beyond it) and by the size of the file, beyond which
`put` fails. What is forgotten is overwritten: texts stay no longer than they have to. One thread uses an
`Outbox`.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hivemark.errors import InternalError
from hivemark.hive.core import WaitingResult

SHELVED_MAX: Final = 256
PAGES_MAX: Final = 262_144  # of 4 KiB: 1 GiB
JOURNAL_BYTES_MAX: Final = 4_194_304
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS result (
  number INTEGER PRIMARY KEY,
  attempt TEXT NOT NULL UNIQUE,
  lease_version INTEGER NOT NULL,
  url TEXT NOT NULL,
  body BLOB NOT NULL,
  finished_ms INTEGER NOT NULL,
  refused_code TEXT
)
"""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """`body` is the `ResultFrame` as it is posted."""

    attempt: str
    lease_version: int
    url: str
    body: bytes
    finished_ms: int


class Outbox:
    """The file. Every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("PRAGMA cache_size=-1024")
        self._database.execute("PRAGMA secure_delete=ON")
        self._database.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES_MAX}")
        self._database.execute(f"PRAGMA max_page_count={PAGES_MAX}")
        self._database.execute(_SCHEMA)

    def put(self, results: Iterable[StoredResult]) -> None:
        """Keep them; the same attempt again changes nothing."""
        rows = [(r.attempt, r.lease_version, r.url, r.body, r.finished_ms) for r in results]
        with self._transaction() as database:
            database.executemany(
                "INSERT OR IGNORE INTO result (attempt, lease_version, url, body, finished_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                rows,
            )

    def waiting(self) -> tuple[WaitingResult, ...]:
        """What is to be delivered, oldest first."""
        rows = self._database.execute(
            "SELECT attempt, lease_version, url FROM result WHERE refused_code IS NULL ORDER BY number"
        )
        return tuple(WaitingResult(*row) for row in rows)

    def body(self, attempt: str) -> bytes | None:
        """The bytes to post."""
        row = self._database.execute("SELECT body FROM result WHERE attempt = ?", (attempt,)).fetchone()
        return None if row is None else bytes(row[0])

    def forget(self, attempts: Iterable[str]) -> None:
        """Acknowledged. Not synced by itself: what a power loss brings back is only posted again."""
        with self._unsynced(), self._transaction() as database:
            database.executemany("DELETE FROM result WHERE attempt = ?", [(name,) for name in attempts])

    def shelve(self, attempt: str, code: str) -> None:
        """Refused for good: kept for people, the newest few, and delivered no more."""
        with self._transaction() as database:
            database.execute("UPDATE result SET refused_code = ? WHERE attempt = ?", (code, attempt))
            database.execute(
                "DELETE FROM result WHERE refused_code IS NOT NULL AND number NOT IN ("
                "SELECT number FROM result WHERE refused_code IS NOT NULL ORDER BY number DESC LIMIT ?)",
                (SHELVED_MAX,),
            )

    def shelved(self) -> tuple[tuple[str, str], ...]:
        """(attempt, code) of what was refused, oldest first."""
        rows = self._database.execute(
            "SELECT attempt, refused_code FROM result WHERE refused_code IS NOT NULL ORDER BY number"
        )
        return tuple((str(attempt), str(code)) for attempt, code in rows)

    def probe(self) -> None:
        """Write something that means nothing; raises `sqlite3.Error` when nothing can be written."""
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        with self._transaction() as database:
            database.execute(f"PRAGMA user_version = {(version + 1) % 2**31}")

    def close(self) -> None:
        """Nothing is lost without it."""
        self._database.close()

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Commits inside are on the disk with the next one outside, which syncs the whole write-ahead log."""
        self._database.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._database.execute("PRAGMA synchronous=FULL")

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._database)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:  # a full disk ends some by itself, and leaves others open
                self._database.execute("ROLLBACK")


def open_outbox(path: Path) -> Outbox:
    """Create or reopen it; raises `InternalError` when the file is no outbox."""
    try:
        return Outbox(path)
    except sqlite3.Error as error:
        raise InternalError(f"the outbox {path} cannot be opened: {error}", code="outbox_broken") from error
