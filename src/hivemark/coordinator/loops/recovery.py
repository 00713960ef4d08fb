"""What a new leader does before its first signature: bring database and files to one history, or refuse.

Either may be older than the other: a crash between two writes, a restored backup, a lost folder. The one that
is behind is rebuilt from the one that is ahead, after the newer checkpoint's root has been computed from the
entries themselves and before anything is written. What does not lead to that root is never overwritten.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from hivemark.coordinator.ports import LogState, LogStore, TileStore
from hivemark.errors import ConflictError, InvalidError, NotFoundError, UnverifiedError
from hivemark.translog.append import RightEdge, plan_append, read_edge
from hivemark.translog.checkpoint import Checkpoint, verify_checkpoint
from hivemark.translog.merkle import EMPTY_ROOT
from hivemark.translog.note import VerifierKey
from hivemark.translog.tiles import CHECKPOINT_PATH, ENTRIES, TILE_WIDTH, TileRef, parse_entry_bundle

CHUNK_ENTRIES: Final = 16 * TILE_WIDTH


class LogRefused(ConflictError):
    """Database and log files do not tell one history; nothing is signed until a person has looked."""


def recover(log: LogStore, tiles: TileStore, key: VerifierKey, *, epoch: int) -> tuple[RightEdge, int]:
    """The right edge to go on from, and the number of indices that are assigned.

    Raises `LogRefused` with code `log_key_differs`, `log_forked` or `log_incomplete`.
    """
    state = log.log_state()
    recorded = _recorded(state, key)
    shown, shown_raw = _shown(tiles, key)
    if shown.size > state.size:
        _adopt(log, tiles, state, shown, shown_raw, epoch=epoch)
        return _edge_of(log, tiles, shown), shown.size
    behind, ahead = sorted((recorded, shown), key=lambda checkpoint: checkpoint.size)
    edge = _catch_up(log, tiles, behind, ahead)
    if shown.size < recorded.size:
        assert state.published_checkpoint is not None, "a recorded size has its checkpoint"
        tiles.write(CHECKPOINT_PATH, state.published_checkpoint.encode())
    elif recorded.size < shown.size:
        log.publish(epoch=epoch, size=shown.size, root=shown.root, checkpoint=shown_raw.decode())
    return edge, state.size


def _recorded(state: LogState, key: VerifierKey) -> Checkpoint:
    """What the database says was signed last."""
    if state.published_checkpoint is None:
        return Checkpoint(key.name, 0, EMPTY_ROOT)
    checkpoint = _verified(state.published_checkpoint.encode(), key, "the database")
    if (checkpoint.size, checkpoint.root) != (state.published_size, state.published_root):
        raise _forked("the database's checkpoint and its own columns differ")
    return checkpoint


def _shown(tiles: TileStore, key: VerifierKey) -> tuple[Checkpoint, bytes]:
    """What readers of the files were shown last."""
    raw = tiles.read(CHECKPOINT_PATH)
    if raw is None:
        return Checkpoint(key.name, 0, EMPTY_ROOT), b""
    return _verified(raw, key, "the log's folder"), raw


def _verified(raw: bytes, key: VerifierKey, where: str) -> Checkpoint:
    try:
        return verify_checkpoint(raw, key)
    except (InvalidError, UnverifiedError) as error:
        raise LogRefused(
            f"the checkpoint in {where} was not signed by this log's key as {key.name}",
            code="log_key_differs",
            hint="restore the log key that belongs to this log, or start a new log in an empty home",
        ) from error


def _catch_up(log: LogStore, tiles: TileStore, behind: Checkpoint, ahead: Checkpoint) -> RightEdge:
    """The edge at `ahead`, whose entries the database has; writes the files that it lacks.

    The entries must lead to both roots before anything is written: the files may be those of the history
    that was shown, and the database the one that went another way.
    """
    if behind.size == ahead.size and behind.root != ahead.root:
        raise _forked(f"two roots for {ahead.size} entries")
    held = _held_edge(tiles, behind)
    start = held if held is not None else _replayed_to(log, behind)
    _require_root(_replayed(start, log, ahead.size), ahead)
    return _rebuild(log, tiles, held if held is not None else RightEdge(), ahead.size)


def _edge_of(log: LogStore, tiles: TileStore, checkpoint: Checkpoint) -> RightEdge:
    """The right edge at a checkpoint from the files, or from the database where the files lack it."""
    held = _held_edge(tiles, checkpoint)
    if held is not None:
        return held
    _replayed_to(log, checkpoint)
    return _rebuild(log, tiles, RightEdge(), checkpoint.size)


def _held_edge(tiles: TileStore, checkpoint: Checkpoint) -> RightEdge | None:
    """The right edge at a checkpoint if the files lead to its root."""
    try:
        edge = read_edge(checkpoint.size, tiles.read)
    except (NotFoundError, InvalidError):
        return None
    return edge if edge.root == checkpoint.root else None


def _replayed_to(log: LogStore, checkpoint: Checkpoint) -> RightEdge:
    """The edge at a checkpoint from the database's rows, which must lead to its root."""
    edge = _replayed(RightEdge(), log, checkpoint.size)
    _require_root(edge, checkpoint)
    return edge


def _replayed(edge: RightEdge, log: LogStore, size: int) -> RightEdge:
    """The edge that the database's rows lead to; writes nothing."""
    while edge.size < size:
        edge = plan_append(edge, _leaves(log, edge.size, min(size, edge.size + CHUNK_ENTRIES))).edge
    return edge


def _rebuild(log: LogStore, tiles: TileStore, edge: RightEdge, size: int) -> RightEdge:
    """Write the files that the database's rows lead to."""
    while edge.size < size:
        plan = plan_append(edge, _leaves(log, edge.size, min(size, edge.size + CHUNK_ENTRIES)))
        for file in plan.files:
            tiles.write(file.path, file.content)
        edge = plan.edge
    return edge


def _leaves(log: LogStore, start: int, end: int) -> list[bytes]:
    rows = log.log_rows(start=start, end=end)
    if [row.index for row in rows] != list(range(start, end)):
        raise LogRefused(
            f"the database lacks entries between {start} and {end}",
            code="log_incomplete",
            hint="run `hivemark fsck`, then restore the newest backup",
        )
    return [row.leaf for row in rows]


def _adopt(
    log: LogStore,
    tiles: TileStore,
    state: LogState,
    shown: Checkpoint,
    shown_raw: bytes,
    *,
    epoch: int,
) -> None:
    """The database is older than the files: take the missing entries from the entry bundles.

    Everything is checked in a first pass: the bundles lead to the shown root, and the entries that the
    database does have are the same.
    """
    edge = RightEdge()
    for chunk in _bundled(tiles, shown.size):
        known = log.log_rows(start=edge.size, end=min(state.size, edge.size + len(chunk)))
        if [row.leaf for row in known] != list(chunk[: len(known)]):
            raise _forked(f"the database has other entries between {edge.size} and {state.size}")
        edge = plan_append(edge, chunk).edge
    _require_root(edge, shown)
    size = state.size
    for start, chunk in _from(state.size, _bundled(tiles, shown.size)):
        assert start == size, "chunks follow each other"
        log.adopt(
            epoch=epoch,
            start=start,
            leaves=chunk,
            checkpoint=shown_raw.decode(),
            size=shown.size,
            root=shown.root,
        )
        size += len(chunk)


def _bundled(tiles: TileStore, size: int) -> Iterator[Sequence[bytes]]:
    """The log's entries from its bundles, in chunks."""
    for start in range(0, size, CHUNK_ENTRIES):
        end = min(size, start + CHUNK_ENTRIES)
        yield list(chain.from_iterable(_bundle(tiles, at, end) for at in range(start, end, TILE_WIDTH)))


def _bundle(tiles: TileStore, start: int, end: int) -> Sequence[bytes]:
    width = min(TILE_WIDTH, end - start)
    ref = TileRef(ENTRIES, start // TILE_WIDTH, width)
    raw = tiles.read(ref.path) or tiles.read(ref.full.path)
    try:
        entries = parse_entry_bundle(raw or b"")[:width]
    except InvalidError:
        entries = ()
    if len(entries) != width:
        raise LogRefused(
            f"the database is older than the log, and the entries from {start} on cannot be read",
            code="log_incomplete",
            hint="restore the newest backup of the database, or the log's folder",
        )
    return entries


def _from(first: int, chunks: Iterator[Sequence[bytes]]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """The chunks without what lies before index `first`, each with its start."""
    start = 0
    for chunk in chunks:
        skipped = max(0, min(len(chunk), first - start))
        if skipped < len(chunk):
            yield start + skipped, chunk[skipped:]
        start += len(chunk)


def _require_root(edge: RightEdge, checkpoint: Checkpoint) -> None:
    if edge.root != checkpoint.root:
        raise _forked(f"the entries do not lead to the root that was signed for {checkpoint.size}")


def _forked(reason: str) -> LogRefused:
    return LogRefused(
        f"{reason}: going on would sign a second history",
        code="log_forked",
        hint="run `hivemark fsck`; restore database and log folder from one backup",
    )
