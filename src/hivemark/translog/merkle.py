"""The RFC 6962 hash tree and the RFC 9162 proofs (spec/log 1).

A `HashReader` gives the hash of a complete subtree: `read(level, index)` is the root over the 2^level leaves
from index·2^level. Every proof is put together from such hashes, wherever they are kept.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from hivemark.errors import UnverifiedError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

HashReader: TypeAlias = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The roots of the complete subtrees a tree of `size` leaves consists of, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> "Frontier":
        """The frontier with one more leaf hash; equal subtrees at the right edge merge."""
        hashes, size = [*self.hashes, leaf], self.size
        while size & 1:
            right = hashes.pop()
            hashes.append(node_hash(hashes.pop(), right))
            size >>= 1
        return Frontier(self.size + 1, tuple(hashes))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash; SHA-256 of nothing for the empty tree."""
        return fold_right(self.hashes) if self.hashes else EMPTY_ROOT


def fold_right(hashes: Sequence[bytes]) -> bytes:
    """The root over adjacent subtrees of falling size: joined from the right."""
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier.root


def reader_of_leaves(leaves: Sequence[bytes]) -> HashReader:
    """A reader over leaf hashes held in memory; levels are computed once."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return lambda level, index: levels[level][index]


def range_hash(start: int, end: int, read: HashReader) -> bytes:
    """The root over leaves start … end−1, where `start` is where a subtree of that width may begin."""
    hashes = []
    while start < end:
        level = (end - start).bit_length() - 1
        hashes.append(read(level, start >> level))
        start += 1 << level
    return fold_right(hashes)


def inclusion_proof(index: int, size: int, read: HashReader) -> tuple[bytes, ...]:
    """RFC 9162 2.1.3.1: sibling hashes from the leaf up."""
    assert 0 <= index < size, f"index {index} is not in a tree of {size}"
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(range_hash(middle, end, read))
            end = middle
        else:
            proof.append(range_hash(start, middle, read))
            start = middle
    return tuple(reversed(proof))


def consistency_proof(first: int, second: int, read: HashReader) -> tuple[bytes, ...]:
    """RFC 9162 2.1.4.1: that the tree of `first` leaves is a prefix of the tree of `second`."""
    assert 0 < first <= second, f"no consistency proof from {first} to {second}"
    proof: list[bytes] = []
    start, end = 0, second
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            proof.append(range_hash(middle, end, read))
            end = middle
        else:
            proof.append(range_hash(start, middle, read))
            start = middle
    if start:
        proof.append(range_hash(start, end, read))
    return tuple(reversed(proof))


def verify_inclusion(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 2.1.3.2; raises `UnverifiedError` with code `inclusion_invalid`."""
    if not 0 <= index < size:
        raise UnverifiedError(f"index {index} is not in a tree of {size}", code="inclusion_invalid")
    _require_hashes((leaf, root, *proof), code="inclusion_invalid")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise UnverifiedError("the inclusion proof is too long", code="inclusion_invalid")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or r != root:
        raise UnverifiedError("the inclusion proof does not lead to the root", code="inclusion_invalid")


def verify_consistency(
    *, first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """RFC 9162 2.1.4.2; raises `UnverifiedError` with code `consistency_invalid`.

    Equal sizes need equal roots and an empty proof. The empty tree is a prefix of every tree, with no proof.
    """
    if not 0 <= first <= second:
        raise UnverifiedError(f"a tree of {first} is no prefix of {second}", code="consistency_invalid")
    _require_hashes((first_root, second_root, *proof), code="consistency_invalid")
    if (first == 0 and first_root != EMPTY_ROOT) or (first == second and first_root != second_root):
        raise UnverifiedError("the roots of equal trees differ", code="consistency_invalid")
    if first in (0, second):
        if proof:
            raise UnverifiedError("nothing is to be proven here", code="consistency_invalid")
        return
    if _prefix_roots(first, second, first_root, proof) != (first_root, second_root):
        raise UnverifiedError("the trees share no history", code="consistency_invalid")


def _require_hashes(hashes: Sequence[bytes], *, code: str) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise UnverifiedError(f"a hash has {HASH_BYTES} bytes", code=code)


def _prefix_roots(
    first: int, second: int, first_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes] | None:
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not proof:
        return None
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr) if sn == 0 else None


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << ((width - 1).bit_length() - 1)
