"""tlog-tiles: where hashes and entries lie, and a hash reader over them (spec/log 2)."""

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from hivemark.errors import InvalidError, NotFoundError
from hivemark.translog.merkle import HASH_BYTES, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
ENTRY_BYTES_MAX: Final = 65_535
LEVEL_MAX: Final = 63
CHECKPOINT_PATH: Final = "checkpoint"
ENTRIES: Final = -1  # the "level" of entry bundles

ReadTile: TypeAlias = Callable[[str], bytes | None]

_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-9][0-9])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class TileRef:
    """One tile or, at level `ENTRIES`, one entry bundle; `width` below 256 means partial."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The path under the log's prefix, such as `tile/0/x001/x234/067.p/112`."""
        digits = f"{self.index:03d}"
        digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        number = "".join(f"x{group}/" for group in groups[:-1]) + groups[-1]
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{number}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")

    @property
    def full(self) -> "TileRef":
        """The full tile that this partial one grows into."""
        return TileRef(self.level, self.index)


def parse_tile_path(path: str) -> TileRef:
    """The strict inverse of `TileRef.path`; raises `InvalidError` with code `tile_path_malformed`."""
    match = _PATH.fullmatch(path)
    if match is not None:
        level = ENTRIES if match["level"] == "entries" else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        ref = TileRef(level, index, int(match["width"] or TILE_WIDTH))
        if level <= LEVEL_MAX and ref.width <= TILE_WIDTH and ref.path == path:
            return ref
    raise InvalidError("not the path of a tile", code="tile_path_malformed", field="path")


def tiles_of(size: int) -> Iterator[TileRef]:
    """The tiles at the right edge of a tree: at each level the partial one, where there is one."""
    level = 0
    while count := size >> (TILE_HEIGHT * level):
        if width := count % TILE_WIDTH:
            yield TileRef(level, count // TILE_WIDTH, width)
        level += 1


def encode_entry_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries, each after its length in 16 bits."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def parse_entry_bundle(raw: bytes) -> tuple[bytes, ...]:
    """The strict inverse; raises `InvalidError` with code `entry_bundle_malformed`."""
    entries: list[bytes] = []
    position = 0
    while position < len(raw):
        start = position + 2
        end = start + int.from_bytes(raw[position:start], "big")
        if end > len(raw) or start > len(raw):
            raise InvalidError("the entry bundle is cut off", code="entry_bundle_malformed")
        entries.append(raw[start:end])
        position = end
    if len(entries) > TILE_WIDTH:
        raise InvalidError("more than 256 entries in a bundle", code="entry_bundle_malformed")
    return tuple(entries)


def split_tile(raw: bytes, width: int, path: str) -> tuple[bytes, ...]:
    """The hashes of a tile; raises `InvalidError` with code `tile_malformed` unless there are `width`."""
    if len(raw) != width * HASH_BYTES:
        raise InvalidError(f"{len(raw)} bytes in a tile of {width}", code="tile_malformed", field=path)
    return tuple(raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES))


def read_ref(ref: TileRef, read_tile: ReadTile) -> bytes:
    """The bytes of a tile, cut out of the full one when the partial one is gone.

    Raises `NotFoundError` with code `tile_missing`.
    """
    raw = read_tile(ref.path)
    if raw is not None:
        return raw
    full = read_tile(ref.full.path) if ref.width < TILE_WIDTH else None
    if full is None:
        raise NotFoundError(f"the log lacks {ref.path}", code="tile_missing", field=ref.path)
    if ref.level == ENTRIES:
        return encode_entry_bundle(parse_entry_bundle(full)[: ref.width])
    return full[: ref.width * HASH_BYTES]


@dataclass(slots=True)
class TileHashes:
    """The hash reader of `merkle` over the tiles of a tree of `size` leaves.

    Keeps the tiles it has read, each with the levels inside it: make one per tree size and let it go.
    """

    size: int
    read_tile: ReadTile
    _levels: dict[tuple[int, int], list[tuple[bytes, ...]]] = field(default_factory=dict)

    def __call__(self, level: int, index: int) -> bytes:
        """The root of the complete subtree over leaves from index·2^level."""
        assert (index + 1) << level <= self.size, "this subtree is not complete"
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, position = divmod(index << height, TILE_WIDTH)
        levels = self._levels.get((tile_level, tile_index)) or self._load(tile_level, tile_index)
        while len(levels) <= height:
            below = levels[-1]
            levels.append(tuple(node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)))
        return levels[height][position >> height]

    def _load(self, tile_level: int, tile_index: int) -> list[tuple[bytes, ...]]:
        count = self.size >> (TILE_HEIGHT * tile_level)
        ref = TileRef(tile_level, tile_index, min(count - tile_index * TILE_WIDTH, TILE_WIDTH))
        levels = [split_tile(read_ref(ref, self.read_tile), ref.width, ref.path)]
        self._levels[tile_level, tile_index] = levels
        return levels
