"""An outbox without room: what does not fit is said to, what waits is kept, and room is noticed."""

import sqlite3
from pathlib import Path

import pytest

from hivemark.errors import UnavailableError
from hivemark.hive.outbox import Outbox, StoredResult, open_outbox
from hivemark.hive.outbox_writer import OutboxWriter


async def test_a_full_outbox_says_so_and_notices_room(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "outbox.sqlite")
    writer = OutboxWriter(outbox)
    await writer.put(_result("att_1", size_bytes=10))
    _limit_pages(outbox, 8)
    with pytest.raises(UnavailableError) as refused:
        await writer.put(_result("att_2", size_bytes=100_000))
    assert (refused.value.code, writer.is_writable) == ("outbox_unwritable", False)
    _limit_pages(outbox, 1_000)
    await writer.probe()
    assert writer.is_writable
    await writer.put(_result("att_2", size_bytes=100_000))
    assert [result.attempt for result in outbox.waiting()] == ["att_1", "att_2"]
    await writer.close()


async def test_what_could_not_be_forgotten_is_forgotten_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox(tmp_path / "outbox.sqlite")
    writer = OutboxWriter(outbox)
    await writer.put(_result("att_1", size_bytes=10))
    with monkeypatch.context() as full:
        full.setattr(outbox, "forget", _refuse)
        full.setattr(outbox, "probe", _refuse)
        writer.forget("att_1")
        await writer.probe()
        await writer.probe()
        assert not writer.is_writable
    await writer.probe()
    await writer.close()
    reopened = open_outbox(tmp_path / "outbox.sqlite")
    assert reopened.waiting() == ()
    reopened.close()


def _refuse(*_arguments: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def _limit_pages(outbox: Outbox, pages_max: int) -> None:
    outbox._database.execute(f"PRAGMA max_page_count = {pages_max}")


def _result(attempt: str, *, size_bytes: int) -> StoredResult:
    return StoredResult(attempt, 1, "/results", b"x" * size_bytes, 0)
