"""Appending: the files are a function of the entries, and proofs can be read out of them."""

import random

import pytest

from hivemark.errors import InvalidError, NotFoundError
from hivemark.translog.append import RightEdge, plan_append, read_edge
from hivemark.translog.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from hivemark.translog.tiles import ENTRIES, TileHashes, TileRef, parse_entry_bundle, parse_tile_path


def entry(index: int) -> bytes:
    return b"%d " % index * (index % 7)


def grow(sizes: list[int]) -> tuple[dict[str, bytes], list[RightEdge]]:
    """A stored log after appends up to each of `sizes`."""
    files: dict[str, bytes] = {}
    edges = [RightEdge()]
    for size in sizes:
        plan = plan_append(edges[-1], [entry(index) for index in range(edges[-1].size, size)])
        for file in plan.files:
            assert files.setdefault(file.path, file.content) == file.content, "a tile changed"
        edges.append(plan.edge)
    return files, edges


def steps(seed: int, end: int, width: int) -> list[int]:
    draw, sizes = random.Random(seed), [0]
    while sizes[-1] < end:
        sizes.append(sizes[-1] + draw.randrange(width))
    return sizes[1:]


def test_files_do_not_depend_on_how_appends_were_batched():
    at_once, _ = grow([70_000])
    in_steps, _ = grow([*steps(1, 69_000, 900), 70_000])
    assert at_once.items() <= in_steps.items()
    for path, content in in_steps.items():  # the others are partial tiles that were superseded
        if path not in at_once:
            ref = parse_tile_path(path)
            assert ref.width < 256
            whole = at_once.get(ref.full.path)
            assert whole is None or whole.startswith(content)


def test_roots_are_those_of_the_frontier():
    _, edges = grow(steps(2, 3_000, 60))
    frontier, roots = Frontier(), {0: Frontier().root}
    for index in range(edges[-1].size):
        frontier = frontier.append(leaf_hash(entry(index)))
        roots[frontier.size] = frontier.root
    assert all(edge.root == roots[edge.size] for edge in edges)


def test_the_edge_is_read_back_from_the_files():
    files, edges = grow(steps(3, 2_000, 100))
    assert len(edges) > 30
    for edge in edges:
        assert read_edge(edge.size, files.get) == edge


def test_partial_tiles_may_be_gone_once_the_full_one_exists():
    files, edges = grow([200, 70_000])
    kept = {path: raw for path, raw in files.items() if ".p/" not in path}
    assert read_edge(200, {**kept}.get) == edges[1]
    with pytest.raises(NotFoundError) as caught:
        read_edge(70_000, kept.get)
    assert caught.value.code == "tile_missing"


def test_proofs_are_read_out_of_the_tiles():
    sizes = [1, 255, 256, 257, 600, 65_535, 65_536, 65_537, 70_000]
    files, edges = grow(sizes)
    draw = random.Random(4)
    for edge in edges[1:]:
        read = TileHashes(edge.size, files.get)
        for index in {0, edge.size - 1, *(draw.randrange(edge.size) for _ in range(20))}:
            proof = inclusion_proof(index, edge.size, read)
            leaf = leaf_hash(entry(index))
            verify_inclusion(leaf, index=index, size=edge.size, proof=proof, root=edge.root)
        for earlier in edges[1:]:
            if earlier.size <= edge.size:
                verify_consistency(
                    first=earlier.size,
                    first_root=earlier.root,
                    second=edge.size,
                    second_root=edge.root,
                    proof=consistency_proof(earlier.size, edge.size, read),
                )


def test_a_proof_reads_at_most_two_tiles_a_level():
    files, edges = grow([70_000])
    asked: list[str] = []

    def read_tile(path: str) -> bytes | None:
        asked.append(path)
        return files.get(path)

    inclusion_proof(12_345, 70_000, TileHashes(70_000, read_tile))
    assert edges[-1].size == 70_000
    assert len(asked) == len(set(asked)) <= 6


def test_entry_bundles_hold_the_entries():
    files, _ = grow([600])
    bundle = parse_entry_bundle(files[TileRef(ENTRIES, 2, 88).path])
    assert bundle == tuple(entry(index) for index in range(512, 600))


def test_entries_with_other_hashes_than_the_tile_are_refused():
    files, _ = grow([600])
    path = TileRef(ENTRIES, 2, 88).path
    with pytest.raises(InvalidError) as caught:
        read_edge(600, {**files, path: files[path][:-1] + b"!"}.get)
    assert caught.value.code == "tile_malformed"


def test_nothing_is_written_for_no_entries():
    _, edges = grow([300])
    plan = plan_append(edges[-1], [])
    assert plan.files == () and plan.edge == edges[-1]


def test_an_entry_over_65535_bytes_is_refused():
    plan_append(RightEdge(), [bytes(65_535)])
    with pytest.raises(InvalidError) as caught:
        plan_append(RightEdge(), [b"", bytes(65_536)])
    assert (caught.value.code, caught.value.field) == ("entry_too_large", "entries[1]")


@pytest.mark.parametrize("raw", [b"\x00", b"\x00\x05abc", b"\x00\x01", b"\x00\x00" * 257])
def test_a_broken_entry_bundle_is_refused(raw):
    with pytest.raises(InvalidError) as caught:
        parse_entry_bundle(raw)
    assert caught.value.code == "entry_bundle_malformed"
