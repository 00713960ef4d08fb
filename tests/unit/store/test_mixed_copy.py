"""A restored copy beside the write-ahead log of a newer file: refused as it is, usable without the log."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from hivemark.coordinator.store import open_store
from hivemark.coordinator.store.sqlite import require_whole_file
from hivemark.errors import ConflictError


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """`now.db` as a kill leaves it, its log beside it, and `older.db`, a copy from before a checkpoint."""
    path = tmp_path / "now.db"
    open_store(f"sqlite:///{path}").close()
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE notes (number INTEGER, text BLOB)")
    database.execute("CREATE INDEX by_text ON notes (text)")
    _add(database, 100)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, tmp_path / "older.db")
    _add(database, 2_000)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    _add(database, 100)
    folder = tmp_path / "killed"
    folder.mkdir()
    for name in ("now.db", "now.db-wal"):
        shutil.copy(tmp_path / name, folder / name)
    database.close()
    return folder / "now.db"


def test_a_killed_database_opens_with_its_own_log(killed: Path) -> None:
    require_whole_file(killed)
    open_store(f"sqlite:///{killed}").close()


def test_a_copy_beside_the_log_of_another_is_refused_and_left_as_it_is(killed: Path) -> None:
    copy = (killed.parent.parent / "older.db").read_bytes()
    killed.write_bytes(copy)
    for create in (True, False):
        with pytest.raises(ConflictError) as refused:
            open_store(f"sqlite:///{killed}", create=create)
        assert refused.value.code == "database_damaged"
        assert "now.db-wal" in str(refused.value.hint)
    assert killed.read_bytes() == copy
    killed.with_name("now.db-wal").unlink()
    killed.with_name("now.db-shm").unlink(missing_ok=True)
    open_store(f"sqlite:///{killed}").close()


def _add(database: sqlite3.Connection, count: int) -> None:
    database.execute("BEGIN")
    rows = [(number, os.urandom(200)) for number in range(count)]
    database.executemany("INSERT INTO notes VALUES (?, ?)", rows)
    database.execute("COMMIT")
