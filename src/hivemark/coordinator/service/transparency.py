"""Reading the log: its checkpoint, its tiles, and proofs made from them (docs/spec/http.md 7)."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from hivemark.coordinator.ports import LogStore, TileStore
from hivemark.errors import InvalidError, NotFoundError, UnavailableError
from hivemark.translog.checkpoint import Checkpoint, parse_checkpoint
from hivemark.translog.merkle import consistency_proof, inclusion_proof
from hivemark.translog.note import parse_note
from hivemark.translog.tiles import TileHashes, parse_tile_path, read_ref
from hivemark.translog.tlogproof import TlogProof, encode_tlog_proof


class NotYetLogged(NotFoundError):
    """The entry is queued; the next checkpoint will cover it."""

    retryable = True


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """The newest published checkpoint, parsed and as it was signed."""

    checkpoint: Checkpoint
    raw: bytes


class Transparency:
    """Proofs come from the published tiles alone: what the coordinator shows is what anyone can recompute."""

    def __init__(self, *, store: LogStore, tiles: TileStore) -> None:
        self._store = store
        self._tiles = tiles
        self._hashes: TileHashes | None = None
        self._lock = threading.Lock()  # a hash reader fills its cache while it reads

    def root(self) -> SignedRoot:
        """The newest checkpoint; raises `UnavailableError` `log_empty` before the first."""
        raw = self._store.log_state().published_checkpoint
        if raw is None:
            raise UnavailableError("the log has no checkpoint yet", code="log_empty")
        return SignedRoot(checkpoint=parse_checkpoint(parse_note(raw.encode()).text), raw=raw.encode())

    def inclusion(self, index: int) -> TlogProof:
        """A proof of the entry at `index` against the newest checkpoint; raises `NotYetLogged`."""
        root = self.root()
        size = root.checkpoint.size
        if index >= size:
            raise NotYetLogged(f"index {index} is not covered by size {size}", code="not_yet_logged")
        with self._lock:
            hashes = inclusion_proof(index, size, self._hash_reader(size))
        return TlogProof(index=index, hashes=tuple(hashes), checkpoint=root.raw)

    def proof_text(self, index: int) -> str:
        """The same as a `.tlog-proof` file."""
        return encode_tlog_proof(self.inclusion(index))

    def consistency(self, first: int, second: int) -> Sequence[bytes]:
        """The proof that the tree of `first` entries is a prefix of that of `second`."""
        size = self.root().checkpoint.size
        if not 0 < first <= second:
            raise InvalidError("expected 0 < from <= to", code="range_invalid", field="from")
        if second > size:
            raise NotYetLogged(f"size {second} is beyond {size}", code="not_yet_logged", field="to")
        with self._lock:
            return consistency_proof(first, second, self._hash_reader(size))

    def checkpoint(self) -> bytes:
        """The published checkpoint file."""
        raw = self._tiles.read("checkpoint")
        if raw is None:
            raise UnavailableError("the log has no checkpoint yet", code="log_empty")
        return raw

    def tile(self, path: str) -> bytes:
        """A tile or entry bundle by its C2SP path; a partial one is cut from the full one when that is all
        there is."""
        return read_ref(parse_tile_path(path), self._tiles.read)

    def entry(self, index: int) -> bytes:
        """The leaf at `index` as it is logged."""
        row = self._store.log_row_by_index(index)
        if row is None:
            raise NotFoundError(f"there is no entry {index}", code="unknown_entry", field="index")
        return row.leaf

    def _hash_reader(self, size: int) -> TileHashes:
        """Kept while the tree has this size: proofs of one checkpoint share the tiles they read."""
        known = self._hashes
        if known is None or known.size != size:
            known = TileHashes(size=size, read_tile=self._tiles.read)
            self._hashes = known
        return known
