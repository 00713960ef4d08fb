"""The simulated disk: what a crash leaves, and what a full disk refuses."""

import pytest
from sqlalchemy import text

from hivemark.coordinator.store.database import DatabaseUnavailable
from hivemark.testing.simulator.faults import DiskFaults
from hivemark.testing.simulator.storage import Disk, DiskFull, SimulatedCrash


def count(disk: Disk) -> int:
    return disk.database.read(lambda c: c.execute(text("SELECT count(*) FROM accounts")).scalar_one())


def add(disk: Disk, name: str, *, durable: bool = True) -> None:
    insert = text(f"INSERT INTO accounts (id, balance_micro, seq) VALUES ('{name}', 0, 1)")
    disk.database.write(lambda connection: connection.execute(insert).rowcount, durable=durable)


def test_each_disk_begins_empty() -> None:
    for _ in range(2):
        disk = Disk()
        assert count(disk) == 0
        add(disk, "acct_a")
        assert count(disk) == 1


def test_an_operation_that_fails_leaves_nothing() -> None:
    disk = Disk()

    def fail(connection: object) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        disk.database.write(fail)
    add(disk, "acct_a")
    assert count(disk) == 1


def test_a_crash_takes_what_is_not_durable_and_nothing_else() -> None:
    disk = Disk()
    add(disk, "acct_a", durable=False)
    add(disk, "acct_b")
    add(disk, "acct_c", durable=False)
    assert count(disk) == 3
    disk.database.lose_what_is_not_durable()
    assert count(disk) == 2


def test_a_crash_happens_before_a_write_or_after_it_was_made() -> None:
    disk, faults = Disk(), DiskFaults()
    disk.set_fault(faults)
    faults.crash_after = 0
    with pytest.raises(SimulatedCrash, match="before database"):
        add(disk, "acct_a")
    faults.crash_after = 1
    with pytest.raises(SimulatedCrash, match="after database"):
        add(disk, "acct_b")
    add(disk, "acct_c")
    assert count(disk) == 2


def test_a_full_disk_refuses_and_keeps_what_it_has() -> None:
    disk, faults = Disk(), DiskFaults()
    digest = disk.blobs.put(b"kept")
    disk.set_fault(faults)
    faults.full = True
    with pytest.raises(DatabaseUnavailable):
        add(disk, "acct_a")
    with pytest.raises(DiskFull):
        disk.blobs.put(b"lost")
    with pytest.raises(DiskFull):
        disk.tiles.write("checkpoint", b"lost")
    assert (disk.blobs.get(digest), disk.tiles.read("checkpoint"), faults.refused) == (b"kept", None, 3)


def test_every_checkpoint_that_was_ever_shown_is_remembered() -> None:
    tiles = Disk().tiles
    tiles.write("tile/0/000.p/1", b"x")
    tiles.write("checkpoint", b"one")
    tiles.write("checkpoint", b"two")
    assert tiles.checkpoints == [b"one", b"two"]
    assert tiles.read("checkpoint") == b"two"
