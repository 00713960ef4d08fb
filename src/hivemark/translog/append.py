"""Appending to a tiled log: which files follow from which entries (spec/log 3).

The bytes of every file are a function of the entries and their indices alone, so writing a plan twice, or
after a crash half-way, gives the same files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hivemark.errors import InvalidError
from hivemark.translog.merkle import EMPTY_ROOT, fold_right, leaf_hash, node_hash
from hivemark.translog.tiles import (
    ENTRIES,
    ENTRY_BYTES_MAX,
    TILE_HEIGHT,
    TILE_WIDTH,
    ReadTile,
    TileRef,
    encode_entry_bundle,
    parse_entry_bundle,
    read_ref,
    split_tile,
    tiles_of,
)


@dataclass(frozen=True, slots=True)
class RightEdge:
    """What is needed to go on: the entries of the unfinished bundle and the hashes of the unfinished tiles.

    `tiles[level]` holds fewer than 256 hashes; its length is the width of that level's partial tile.
    """

    size: int = 0
    entries: tuple[bytes, ...] = ()
    tiles: tuple[tuple[bytes, ...], ...] = ()

    @property
    def root(self) -> bytes:
        """The Merkle tree hash of the whole tree, out of the partial tiles alone."""
        subtrees = [part for tile in reversed(self.tiles) for part in _complete_subtrees(tile)]
        return fold_right(subtrees) if subtrees else EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class TileFile:
    """One file to write, at its path under the log's prefix."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class AppendPlan:
    """The files in the order of writing (a checkpoint is signed after the last) and the tree they give."""

    files: tuple[TileFile, ...]
    leaf_hashes: tuple[bytes, ...]
    edge: RightEdge

    @property
    def size(self) -> int:
        """The number of entries after the plan."""
        return self.edge.size

    @property
    def root(self) -> bytes:
        """The Merkle tree hash after the plan."""
        return self.edge.root


def plan_append(edge: RightEdge, entries: Sequence[bytes]) -> AppendPlan:
    """Entry bundles first, then tiles from the leaves up; nothing is written for no entries.

    Raises `InvalidError` with code `entry_too_large` for an entry over 65,535 bytes.
    """
    for position, entry in enumerate(entries):
        if len(entry) > ENTRY_BYTES_MAX:
            raise InvalidError(
                f"{len(entry)} bytes; a log entry has at most {ENTRY_BYTES_MAX}",
                code="entry_too_large",
                field=f"entries[{position}]",
            )
    leaves = tuple(leaf_hash(entry) for entry in entries)
    bundled = (*edge.entries, *entries)
    files = list(_bundle_files(edge.size // TILE_WIDTH, bundled)) if entries else []
    tiles = _append_hashes(edge, leaves, files)
    size = edge.size + len(entries)
    tail = bundled[len(bundled) - size % TILE_WIDTH :]
    return AppendPlan(tuple(files), leaves, RightEdge(size, tail, tiles))


def read_edge(size: int, read_tile: ReadTile) -> RightEdge:
    """The right edge of a log of `size` entries as it is stored.

    Raises `NotFoundError` or `InvalidError` when the stored files do not make one.
    """
    tiles: dict[int, tuple[bytes, ...]] = {}
    for ref in tiles_of(size):
        tiles[ref.level] = split_tile(read_ref(ref, read_tile), ref.width, ref.path)
    entries: tuple[bytes, ...] = ()
    if width := size % TILE_WIDTH:
        ref = TileRef(ENTRIES, size // TILE_WIDTH, width)
        entries = parse_entry_bundle(read_ref(ref, read_tile))
        if len(entries) != width or tuple(map(leaf_hash, entries)) != tiles[0]:
            raise InvalidError(
                "the entries do not have the hashes in the tile", code="tile_malformed", field=ref.path
            )
    levels = max(tiles, default=-1) + 1
    return RightEdge(size, entries, tuple(tiles.get(level, ()) for level in range(levels)))


def _bundle_files(first_index: int, entries: Sequence[bytes]) -> Iterator[TileFile]:
    for number, start in enumerate(range(0, len(entries), TILE_WIDTH)):
        part = entries[start : start + TILE_WIDTH]
        yield TileFile(TileRef(ENTRIES, first_index + number, len(part)).path, encode_entry_bundle(part))


def _append_hashes(
    edge: RightEdge, leaves: tuple[bytes, ...], files: list[TileFile]
) -> tuple[tuple[bytes, ...], ...]:
    """Adds the tile files of each level to `files`; returns the partial tiles that remain."""
    remaining: list[tuple[bytes, ...]] = []
    level, fresh = 0, leaves
    while fresh or level < len(edge.tiles):
        old = edge.tiles[level] if level < len(edge.tiles) else ()
        hashes = (*old, *fresh)
        first_index = (edge.size >> (TILE_HEIGHT * level)) // TILE_WIDTH
        if fresh:
            files.extend(_tile_files(level, first_index, hashes))
        whole = len(hashes) - len(hashes) % TILE_WIDTH
        remaining.append(hashes[whole:])
        fresh = tuple(_tile_root(hashes[i : i + TILE_WIDTH]) for i in range(0, whole, TILE_WIDTH))
        level += 1
    return tuple(remaining)


def _tile_files(level: int, first_index: int, hashes: Sequence[bytes]) -> Iterator[TileFile]:
    for number, start in enumerate(range(0, len(hashes), TILE_WIDTH)):
        part = hashes[start : start + TILE_WIDTH]
        yield TileFile(TileRef(level, first_index + number, len(part)).path, b"".join(part))


def _tile_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def _complete_subtrees(tile: Sequence[bytes]) -> Iterator[bytes]:
    start = 0
    for bit in reversed(range(TILE_HEIGHT)):
        if len(tile) >> bit & 1:
            yield _tile_root(tile[start : start + (1 << bit)])
            start += 1 << bit
