"""The sequencer in good weather, behind a full disk, and beside a second one."""

from pathlib import Path

import pytest

from hivemark.coordinator.loops.sequencer import Sequencer
from hivemark.coordinator.ports import StateMoved, TileStore
from hivemark.coordinator.store import FolderTileStore, SqlStore, StorageUnavailable
from hivemark.testing.faults import Faults, FaultyTileStore
from hivemark.translog.merkle import inclusion_proof, leaf_hash, verify_inclusion
from hivemark.translog.tiles import TileHashes

from .logbook import Home, leaf_of, names, queue, require_sound, sequencer


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def store(home: Home) -> SqlStore:
    opened = home.open()
    yield opened
    opened.close()


def test_queued_entries_are_signed_and_each_has_a_proof(home: Home, store: SqlStore) -> None:
    queue(store, *names(0, 600))
    runner = sequencer(store, home.tiles)
    assert runner.step(10) == 1_200  # integrated, and passed by the release
    assert runner.step(11) == 0
    checkpoint = home.checkpoint()
    assert home.entries() == [leaf_of(name) for name in names(0, 600)]
    hashes = TileHashes(checkpoint.size, home.tiles.read)
    for index in (0, 255, 256, 599):
        proof = inclusion_proof(index, checkpoint.size, hashes)
        leaf = leaf_hash(leaf_of(f"{index:04}"))
        verify_inclusion(leaf, index=index, size=checkpoint.size, proof=proof, root=checkpoint.root)


def test_batches_give_the_same_files_as_one_step(home: Home, store: SqlStore, tmp_path: Path) -> None:
    queue(store, *names(0, 300))
    runner = sequencer(store, home.tiles, batch=7)
    while runner.step(10):
        pass
    (tmp_path / "whole").mkdir()
    whole = Home(tmp_path / "whole")
    other = whole.open()
    queue(other, *names(0, 300))
    sequencer(other, whole.tiles).step(10)
    other.close()
    kept = home.files()
    assert {path: kept.get(path) for path in whole.files()} == whole.files()


def test_nothing_to_do_writes_nothing(home: Home, store: SqlStore) -> None:
    faults = Faults()
    runner = sequencer(store, FaultyTileStore(home.tiles, faults))
    assert [runner.step(now_ms) for now_ms in (10, 20, 500)] == [0, 0, 0]
    assert faults.writes == 0
    assert home.files() == {}


def test_a_full_disk_at_any_write_loses_nothing(tmp_path: Path) -> None:
    for number in range(1, 40):
        folder = tmp_path / str(number)
        folder.mkdir()
        home = Home(folder)
        store = home.open()
        faults = Faults("disk_full", at=number)
        runner = sequencer(store, FaultyTileStore(home.tiles, faults), batch=260)
        queue(store, *names(0, 270))
        if not _stops_with_full_disk(runner):
            store.close()
            break
        assert not runner.leads
        queue(store, *names(270, 275))
        faults.strike = "none"  # somebody made room
        while runner.step(20):
            pass
        store.close()
        assert home.entries() == [leaf_of(name) for name in names(0, 275)]
        require_sound(home)
    assert number > 8, "the loop has met every write of both batches"


def _stops_with_full_disk(runner: Sequencer) -> bool:
    try:
        while runner.step(10):
            pass
    except StorageUnavailable:
        return True
    return False


class Interrupted:
    """A `TileStore` that lets something else happen before its first write."""

    def __init__(self, inner: TileStore, happens: object) -> None:
        self.inner = inner
        self.happens = happens

    def write(self, path: str, content: bytes) -> None:
        happens, self.happens = self.happens, None
        if callable(happens):
            happens()
        self.inner.write(path, content)

    def read(self, path: str) -> bytes | None:
        return self.inner.read(path)


def test_a_replaced_leader_publishes_nothing(home: Home, store: SqlStore) -> None:
    """The first leader sleeps between T4 and its first tile; the second does its work and more."""
    queue(store, *names(0, 5))
    second = sequencer(store, home.tiles, "two")

    def meanwhile() -> None:
        queue(store, *names(5, 9))
        while second.step(1_000):
            pass

    first = sequencer(store, Interrupted(home.tiles, meanwhile), "one")
    with pytest.raises(StateMoved) as moved:
        first.step(10)
    assert moved.value.code == "log_epoch_stale"
    assert not first.leads and first.step(1_010) == 0
    assert home.entries() == [leaf_of(name) for name in names(0, 9)]
    require_sound(home)


def test_two_sequencers_take_turns_on_one_history(home: Home) -> None:
    """Two programs on one database; each sleeps through its lease again and again."""
    stores = [home.open(), home.open()]
    runners = [sequencer(store, home.tiles, name) for store, name in zip(stores, "ab", strict=True)]
    history: list[bytes] = []
    for turn in range(12):
        queue(stores[0], *names(turn * 10, turn * 10 + 10))
        runner = runners[(turn // 2) % 2]
        now_ms = 10_000 * (turn + 1)
        while runner.step(now_ms):
            pass
        assert runners[1 - (turn // 2) % 2].step(now_ms + 1) == 0
        entries = home.entries()
        assert entries[: len(history)] == history
        history = entries
    for store in stores:
        store.close()
    assert history == [leaf_of(name) for name in names(0, 120)]
    require_sound(home)


def test_pays_once_what_is_covered(home: Home, store: SqlStore) -> None:
    queue(store, *names(0, 10))
    runner = sequencer(store, home.tiles, batch=4)
    assert [runner.step(10) for _ in range(4)] == [8, 8, 4, 0]
    assert store.release(covered_size=99, now_ms=11, limit=99) == 0


def test_the_folder_is_the_one_of_tlog_tiles(home: Home, store: SqlStore) -> None:
    queue(store, *names(0, 258))
    sequencer(store, home.tiles).step(10)
    assert sorted(home.files()) == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/2",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/2",
    ]
    assert isinstance(home.tiles, FolderTileStore)
