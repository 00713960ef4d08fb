"""What the sequencer scenarios share: a home with database and log folder, and a strict reader of the log."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from hivemark.coordinator.loops.sequencer import Sequencer
from hivemark.coordinator.ports import LogStore, NewLogEntry, TileStore
from hivemark.coordinator.store import FolderTileStore, SqlStore, open_store
from hivemark.coordinator.store.fsck import check_database
from hivemark.coordinator.store.fscklog import check_log
from hivemark.protocol.keys import PrivateKey
from hivemark.translog.append import read_edge
from hivemark.translog.checkpoint import Checkpoint, verify_checkpoint
from hivemark.translog.merkle import leaf_hash, root_of
from hivemark.translog.note import NoteSigner
from hivemark.translog.tiles import (
    CHECKPOINT_PATH,
    ENTRIES,
    TILE_WIDTH,
    TileRef,
    parse_entry_bundle,
    read_ref,
)

SIGNER = NoteSigner("hivemark.example/test/2026", PrivateKey.from_seed(bytes(range(32))))
OTHER_SIGNER = NoteSigner(SIGNER.name, PrivateKey.from_seed(bytes(32)))


@dataclass(frozen=True, slots=True)
class Home:
    """A folder with `store.db` and `log/`."""

    folder: Path

    @property
    def tiles(self) -> FolderTileStore:
        return FolderTileStore(self.folder / "log")

    def open(self) -> SqlStore:
        return open_store(f"sqlite:///{self.folder / 'store.db'}", network="test")

    def copy_database(self, name: str) -> None:
        """Keep the database as it is now; the store must be closed."""
        shutil.copy(self.folder / "store.db", self.folder / name)

    def restore_database(self, name: str) -> None:
        for suffix in ("-wal", "-shm"):
            (self.folder / f"store.db{suffix}").unlink(missing_ok=True)
        shutil.copy(self.folder / name, self.folder / "store.db")

    def files(self) -> dict[str, bytes]:
        """Every file of the log by its path."""
        root = self.folder / "log"
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    def entries(self) -> list[bytes]:
        return read_log(self.tiles)[1]

    def checkpoint(self) -> Checkpoint:
        return read_log(self.tiles)[0]


def queue(store: LogStore, *names: str) -> None:
    for name in names:
        store.queue_entry(NewLogEntry(f"row {name}", leaf_of(name), leaf_of(name), None, None), now_ms=1)


def leaf_of(name: str) -> bytes:
    return f"entry {name}".encode()


def names(start: int, end: int) -> list[str]:
    return [f"{number:04}" for number in range(start, end)]


def sequencer(
    log: LogStore, tiles: TileStore, holder: str = "one", *, batch: int = 4_096, signer: NoteSigner = SIGNER
) -> Sequencer:
    return Sequencer(log, tiles, signer, holder=holder, lease_ms=100, batch_entries_max=batch)


def run_until_idle(home: Home, holder: str, *, now_ms: int) -> None:
    """A new run of the program takes the lead and does all there is to do."""
    store = home.open()
    try:
        runner = sequencer(store, home.tiles, holder)
        while runner.step(now_ms):
            pass
        assert runner.leads
    finally:
        store.close()


def read_log(tiles: TileStore) -> tuple[Checkpoint, list[bytes]]:
    """Checkpoint and entries as a stranger reads them; tiles and bundles must both give the signed root."""
    raw = tiles.read(CHECKPOINT_PATH)
    if raw is None:
        return Checkpoint(SIGNER.name, 0, root_of([])), []
    checkpoint = verify_checkpoint(raw, SIGNER.verifier)
    entries: list[bytes] = []
    while len(entries) < checkpoint.size:
        width = min(TILE_WIDTH, checkpoint.size - len(entries))
        ref = TileRef(ENTRIES, len(entries) // TILE_WIDTH, width)
        entries.extend(parse_entry_bundle(read_ref(ref, tiles.read)))
    assert root_of([leaf_hash(entry) for entry in entries]) == checkpoint.root
    assert read_edge(checkpoint.size, tiles.read).root == checkpoint.root
    return checkpoint, entries


def require_sound(home: Home) -> None:
    """fsck finds nothing, in the database and in the log."""
    store = home.open()
    try:
        assert check_database(store) == []
        assert check_log(store, home.tiles, SIGNER.verifier) == []
    finally:
        store.close()
