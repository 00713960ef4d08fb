"""The tree against brute force and against pymerkle, for every size up to 300."""

import pytest
from pymerkle import InmemoryTree

from hivemark.errors import UnverifiedError
from hivemark.translog.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    reader_of_leaves,
    root_of,
    verify_consistency,
    verify_inclusion,
)

SIZE_MAX = 300
ENTRIES = [b"entry %d" % n for n in range(SIZE_MAX)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
READ = reader_of_leaves(LEAVES)
ROOTS = [root_of(LEAVES[:size]) for size in range(SIZE_MAX + 1)]


def merkle_tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1 word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(merkle_tree_hash(leaves[:k]), merkle_tree_hash(leaves[k:]))


def test_roots_are_those_of_the_recursive_definition():
    for size in range(SIZE_MAX + 1):
        assert ROOTS[size] == merkle_tree_hash(LEAVES[:size])


def test_roots_are_those_of_pymerkle():
    tree = InmemoryTree(algorithm="sha256")
    for size, entry in enumerate(ENTRIES, start=1):
        tree.append_entry(entry)
        assert tree.get_root(size) == ROOTS[size]


def test_every_inclusion_proof_up_to_300_holds():
    for size in range(1, SIZE_MAX + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, READ)
            verify_inclusion(LEAVES[index], index=index, size=size, proof=proof, root=ROOTS[size])


def test_every_consistency_proof_up_to_300_holds():
    for second in range(1, SIZE_MAX + 1):
        for first in range(1, second + 1):
            verify_consistency(
                first=first,
                first_root=ROOTS[first],
                second=second,
                second_root=ROOTS[second],
                proof=consistency_proof(first, second, READ),
            )


def holds(leaf: bytes, index: int, size: int, proof: tuple[bytes, ...], root: bytes) -> bool:
    try:
        verify_inclusion(leaf, index=index, size=size, proof=proof, root=root)
    except UnverifiedError as error:
        assert error.code == "inclusion_invalid"
        return False
    return True


def test_no_proof_holds_for_another_place_leaf_or_length():
    for size in range(1, 40):
        for index in range(size):
            leaf, root = LEAVES[index], ROOTS[size]
            proof = inclusion_proof(index, size, READ)
            others = [other for other in range(-1, size + 2) if other != index]
            assert not any(holds(leaf, other, size, proof, root) for other in others)
            assert not holds(leaf_hash(b"other"), index, size, proof, root)
            assert not holds(leaf, index, size, (*proof, root), root)
            assert not holds(leaf, index, size, (leaf, *proof), root)
            for position in range(len(proof)):
                bent = (*proof[:position], leaf_hash(proof[position]), *proof[position + 1 :])
                assert not holds(leaf, index, size, bent, root)
            if proof:
                assert not holds(leaf, index, size, proof[:-1], root)
                assert not holds(leaf, index, size, proof[1:], root)


def test_a_tree_with_another_past_is_not_consistent():
    for second in range(2, 40):
        for first in range(1, second):
            proof = consistency_proof(first, second, READ)
            forked = root_of([*LEAVES[: first - 1], leaf_hash(b"other")])
            for roots in ((forked, ROOTS[second]), (ROOTS[first], forked)):
                with pytest.raises(UnverifiedError, match=r".+") as caught:
                    verify_consistency(
                        first=first, first_root=roots[0], second=second, second_root=roots[1], proof=proof
                    )
                assert caught.value.code == "consistency_invalid"


@pytest.mark.parametrize(("first", "second"), [(2, 1), (-1, 1), (0, 1), (1, 1)])
def test_sizes_and_roots_that_cannot_be_are_not_consistent(first, second):
    wrong = leaf_hash(b"wrong")
    with pytest.raises(UnverifiedError):
        verify_consistency(first=first, first_root=wrong, second=second, second_root=ROOTS[1], proof=[])


def test_the_empty_tree_comes_before_every_tree():
    verify_consistency(first=0, first_root=EMPTY_ROOT, second=5, second_root=ROOTS[5], proof=[])
    assert Frontier().root == EMPTY_ROOT


@pytest.mark.parametrize(
    ("first", "second", "second_root"),
    [(0, 1, b"short"), (0, 0, leaf_hash(b"")), (1, 1, b"short")],
    ids=["a root that is no hash", "two roots of the empty tree", "equal sizes, other root"],
)
def test_a_consistency_without_proof_still_checks_both_roots(
    first: int, second: int, second_root: bytes
) -> None:
    first_root = EMPTY_ROOT if first == 0 else leaf_hash(b"a")
    with pytest.raises(UnverifiedError):
        verify_consistency(
            first=first, first_root=first_root, second=second, second_root=second_root, proof=[]
        )


def test_an_empty_leaf_and_root_are_no_inclusion() -> None:
    with pytest.raises(UnverifiedError):
        verify_inclusion(b"", index=0, size=1, proof=[], root=b"")
