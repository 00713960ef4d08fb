"""How many entries a second the log takes, and how long an inclusion proof takes out of its tiles.

    python bench/log.py [--entries 40000] [--proof-entries 1000000] [--folder DIR]

Durable throughout (SQLite `synchronous=FULL`, tiles with fsync). `queue` puts entries of a receipt's usual
size into the queue, many per transaction; `append & integrate` is what the sequencer makes of them. The limit
beside it writes and syncs the same bytes to one file in the same batches.
"""

import argparse
import itertools
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hivemark.coordinator.loops.sequencer import BATCH_ENTRIES_MAX, Sequencer
from hivemark.coordinator.ports import NewLogEntry
from hivemark.coordinator.store import FolderTileStore, SqlStore, open_store
from hivemark.coordinator.store.log import add_to_queue
from hivemark.protocol.keys import PrivateKey
from hivemark.translog.append import RightEdge, plan_append
from hivemark.translog.merkle import inclusion_proof, leaf_hash, verify_inclusion
from hivemark.translog.note import NoteSigner
from hivemark.translog.tiles import TileHashes

ENTRY_BYTES: Final = 4_500
PROOFS: Final = 2_000
SIGNER: Final = NoteSigner("hivemark.example/bench/2026", PrivateKey.from_seed(bytes(32)))


def entry(number: int) -> bytes:
    return f"{number:016}".encode() + b"x" * (ENTRY_BYTES - 16)


def queue(store: SqlStore, count: int) -> float:
    """Entries queued per second, 64 per transaction: as many as a group commit takes."""
    begin = time.perf_counter()
    for batch in batched(count, 64):
        store.database.write(
            lambda connection, batch=batch: [
                add_to_queue(connection, NewLogEntry(f"row {n}", entry(n), entry(n), None, None), now_ms=1)
                for n in batch
            ]
        )
    return count / (time.perf_counter() - begin)


def integrate(store: SqlStore, folder: Path) -> float:
    sequencer = Sequencer(store, FolderTileStore(folder), SIGNER, holder="bench", lease_ms=600_000)
    begin = time.perf_counter()
    while sequencer.step(1):
        pass
    return store.log_state().published_size / (time.perf_counter() - begin)


def bare(folder: Path, count: int) -> float:
    """The same bytes in the same batches, written and synced to one file."""
    begin = time.perf_counter()
    with (folder / "bare").open("wb") as file:
        for batch in batched(count, BATCH_ENTRIES_MAX):
            file.write(b"".join(map(entry, batch)))
            file.flush()
            os.fsync(file.fileno())
    return count / (time.perf_counter() - begin)


def proofs(folder: Path, count: int) -> tuple[float, float]:
    """Median and 99th percentile in ms of proofs at random indices, each from files alone, no cache."""
    tiles = FolderTileStore(folder / "million")
    edge = RightEdge()
    for batch in batched(count, BATCH_ENTRIES_MAX * 16):
        plan = plan_append(edge, [b"%d" % n for n in batch])
        for file in plan.files:
            if not file.path.startswith("tile/entries"):  # proofs read hashes alone
                (path := folder / "million" / file.path).parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
        edge = plan.edge
    spent: list[float] = []
    for index in random.Random(1).sample(range(count), PROOFS):
        begin = time.perf_counter()
        proof = inclusion_proof(index, count, TileHashes(count, tiles.read))
        spent.append(time.perf_counter() - begin)
        leaf = leaf_hash(b"%d" % index)
        verify_inclusion(leaf, index=index, size=count, proof=proof, root=edge.root)
    spent.sort()
    return spent[len(spent) // 2] * 1e3, spent[len(spent) * 99 // 100] * 1e3


def batched(count: int, size: int) -> Iterator[range]:
    for start in itertools.takewhile(lambda start: start < count, itertools.count(0, size)):
        yield range(start, min(count, start + size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=40_000)
    parser.add_argument("--proof-entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        store = open_store(f"sqlite:///{folder / 'bench.db'}")
        queued = queue(store, arguments.entries)
        before = bare(folder, arguments.entries)
        integrated = integrate(store, folder / "log")
        limit = (before + bare(folder, arguments.entries)) / 2
        store.close()
        print(f"{arguments.entries} entries of {ENTRY_BYTES} bytes    bare writes {limit:10,.0f}/s")
        for label, rate in (("queue", queued), ("append & integrate", integrated)):
            print(f"  {label:24} {rate:10,.0f}/s   {rate / limit:6.3f} of bare writes")
        median, worst = proofs(folder, arguments.proof_entries)
        count = f"{arguments.proof_entries:,}"
        print(f"inclusion proof at {count} entries: median {median:.3f} ms, p99 {worst:.3f} ms")


if __name__ == "__main__":
    main()
