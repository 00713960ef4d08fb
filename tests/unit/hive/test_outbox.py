"""What is in the outbox stays there until it is acknowledged, through SIGKILL too."""

import asyncio
import subprocess
import sys

import pytest

from hivemark.errors import InternalError, UnavailableError
from hivemark.hive import outbox_writer
from hivemark.hive.core import WaitingResult
from hivemark.hive.outbox import SHELVED_MAX, Outbox, StoredResult, open_outbox
from hivemark.hive.outbox_writer import OutboxWriter


def result(number, body=b"{}\n"):
    return StoredResult(f"att_{number}", 2, f"/r/{number}", body, 1_000 + number)


def test_results_come_back_in_the_order_in_which_they_finished(tmp_path):
    outbox = Outbox(tmp_path / "o")
    outbox.put([result(2), result(1)])
    outbox.put([result(3)])
    outbox.close()
    again = Outbox(tmp_path / "o")
    assert again.waiting() == tuple(WaitingResult(f"att_{n}", 2, f"/r/{n}") for n in (2, 1, 3))
    assert again.body("att_1") == b"{}\n" and again.body("att_9") is None


def test_the_same_attempt_again_changes_nothing(tmp_path):
    outbox = Outbox(tmp_path / "o")
    outbox.put([result(1, b"first")])
    outbox.put([result(1, b"second")])
    assert outbox.body("att_1") == b"first"


def test_what_is_forgotten_is_gone_and_what_is_shelved_is_not_delivered(tmp_path):
    outbox = Outbox(tmp_path / "o")
    outbox.put([result(n) for n in range(SHELVED_MAX + 5)])
    outbox.forget(["att_0"])
    for number in range(1, SHELVED_MAX + 5):
        outbox.shelve(f"att_{number}", "receipt_invalid")
    assert outbox.waiting() == ()
    shelved = outbox.shelved()
    assert len(shelved) == SHELVED_MAX and shelved[-1] == (f"att_{SHELVED_MAX + 4}", "receipt_invalid")


def test_a_put_that_returned_survives_sigkill(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from hivemark.hive.outbox import Outbox, StoredResult\n"
        "Outbox(Path(sys.argv[1])).put([StoredResult('att_1', 2, '/r', b'body', 1)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "o")], check=False, timeout=30)
    assert killed.returncode == -9
    assert Outbox(tmp_path / "o").body("att_1") == b"body"


def test_a_file_that_is_no_outbox_is_refused(tmp_path):
    (tmp_path / "o").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(InternalError) as refused:
        open_outbox(tmp_path / "o")
    assert refused.value.code == "outbox_broken"


class CountingOutbox(Outbox):
    """Counts transactions of `put`."""

    puts = 0

    def put(self, results):
        self.puts += 1
        super().put(results)


async def test_what_arrives_together_is_written_together(tmp_path):
    outbox = CountingOutbox(tmp_path / "o")
    writer = OutboxWriter(outbox)
    await asyncio.gather(*(writer.put(result(n)) for n in range(50)))
    assert len(outbox.waiting()) == 50 and outbox.puts <= 3
    writer.forget("att_7")
    assert await writer.body("att_8") == b"{}\n"
    await writer.close()
    assert len(Outbox(tmp_path / "o").waiting()) == 49


async def test_a_body_is_the_same_from_memory_and_from_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_writer, "AT_HAND_BYTES_MAX", 10)
    writer = OutboxWriter(Outbox(tmp_path / "o"))
    for number, body in enumerate((b"first\n", b"too much\n", b"abc\n", b"x\n")):
        await writer.put(result(number, body))
    for _ in range(2):
        bodies = [await writer.body(f"att_{number}") for number in range(4)]
        assert bodies == [b"first\n", b"too much\n", b"abc\n", b"x\n"]
    await writer.put(result(4, b"gone\n"))
    writer.forget("att_4")
    await writer.close()
    assert len(Outbox(tmp_path / "o").waiting()) == 4


async def test_a_disk_that_takes_nothing_is_told_to_whoever_waits(tmp_path):
    outbox = Outbox(tmp_path / "o")
    writer = OutboxWriter(outbox)
    outbox._database.execute("PRAGMA max_page_count=1")
    with pytest.raises(UnavailableError) as refused:
        await writer.put(result(1, b"x" * 100_000))
    assert refused.value.code == "outbox_unwritable"
    outbox._database.execute("PRAGMA max_page_count=1000000")
    await writer.put(result(2))
    await writer.close()
