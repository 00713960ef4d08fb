"""The GGUF reader: agrees with the reference reader, and a lying file ends in a named refusal."""

import struct
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hivemark.errors import InvalidError
from hivemark.gguf.head import TENSOR_TYPES, parse_gguf
from hivemark.models_shipped import shipped

SHIPPED = shipped()[0].path.read_bytes()
HEAD_BYTES = 54_208


def key(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


def tensor(name: str, lengths: list[int], kind: int, offset: int) -> bytes:
    head = struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(lengths))
    return head + b"".join(struct.pack("<Q", each) for each in lengths) + struct.pack("<IQ", kind, offset)


def file(
    keys: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    *,
    counts: tuple[int, int] | None = None,
    body: bytes = b"",
) -> bytes:
    tensor_count, key_count = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", 3, tensor_count, key_count) + b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + body


def refusal(raw: bytes) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        parse_gguf(memoryview(raw))
    return caught.value


@pytest.mark.parametrize("path", [model.path for model in shipped()], ids=lambda path: path.name)
def test_it_reads_what_the_reference_reader_reads(path: Path) -> None:
    head = parse_gguf(memoryview(path.read_bytes()))
    reference = gguf.GGUFReader(path)
    expected = {
        name: field.contents() for name, field in reference.fields.items() if not name.startswith("GGUF.")
    }
    assert dict(head.metadata) == expected
    assert {
        name: (each.offset_bytes, each.size_bytes, each.shape[::-1]) for name, each in head.tensors.items()
    } == {
        each.name: (each.data_offset, each.n_bytes, tuple(each.shape.tolist())) for each in reference.tensors
    }


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "magic"),
        (b"GGML" + bytes(40), "GGUF"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(16), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (file(counts=(2**62, 0)), "tensor count"),
        (file(counts=(0, 2**62)), "metadata count"),
        (file([key("a", 8, struct.pack("<Q", 2**63))]), "a claims"),
        (file([key("a", 9, struct.pack("<IQ", 4, 2**60))]), "length of a"),
        (file([key("a", 9, struct.pack("<IQ", 8, 3_000_000))]), "item of a"),
        (file([key("a", 9, struct.pack("<IQ", 10, 1_000_000))]), "a claims"),
        (file([key("a", 9, struct.pack("<IQIQ", 9, 1, 4, 0))]), "value type 9"),
        (file([key("a", 77, b"")]), "value type 77"),
        (file([key("a", 8, struct.pack("<Q", 2) + b"\xff\xfe")]), "UTF-8"),
        (file([key("a", 4, bytes(4)), key("a", 4, bytes(4))]), "twice"),
        (file([key("general.alignment", 4, struct.pack("<I", 48))]), "power of two"),
        (file(tensors=[tensor("t", [32] * 5, 0, 0)]), "dimensions of t"),
        (file(tensors=[tensor("t", [], 0, 0)]), "shape"),
        (file(tensors=[tensor("t", [0], 0, 0)]), "shape"),
        (file(tensors=[tensor("t", [33], 8, 0)]), "shape"),
        (file(tensors=[tensor("t", [2**63, 2**63], 0, 0)], body=bytes(64)), "ends at byte"),
        (file(tensors=[tensor("t", [8], 0, 2**63)], body=bytes(64)), "ends at byte"),
        (file(tensors=[tensor("t", [8], 0, 4)], body=bytes(64)), "multiple of 32"),
        (file(tensors=[tensor("t", [8], 0, 0), tensor("t", [8], 0, 32)], body=bytes(64)), "twice"),
        (file(tensors=[tensor("t", [8], 0, 0), tensor("u", [8], 0, 0)], body=bytes(64)), "overlaps"),
        (file(tensors=[tensor("t", [256], 99, 0)], body=bytes(512)), "type 99"),
    ],
)
def test_a_lying_file_is_refused_by_name(raw: bytes, word: str) -> None:
    assert word in str(refusal(raw))


@pytest.mark.parametrize("size", [*range(0, 400, 7), *range(400, HEAD_BYTES, 1499), len(SHIPPED) - 1])
def test_a_truncated_file_is_refused(size: int) -> None:
    refusal(SHIPPED[:size])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=9))
def test_no_damage_to_the_head_does_more_than_a_refusal(offset: int, damage: bytes) -> None:
    raw = bytearray(SHIPPED)
    raw[offset : offset + len(damage)] = damage
    try:
        parse_gguf(memoryview(raw))
    except InvalidError as error:
        assert error.code in {"gguf_malformed", "gguf_version", "quantisation_unsupported"}


def test_a_lying_length_costs_no_memory() -> None:
    tracemalloc.start()
    refusal(file([key("a", 9, struct.pack("<IQ", 12, 4_000_000))]))
    refusal(file([key("a", 8, struct.pack("<Q", 2**40))]))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_the_sizes_of_blocks_are_those_of_the_reference_writer() -> None:
    """Q8_1 (9) never stands in a file."""
    reference = {
        int(kind): (kind.name.lower(), *sizes)
        for kind, sizes in gguf.GGML_QUANT_SIZES.items()
        if int(kind) in TENSOR_TYPES
    }
    assert reference == TENSOR_TYPES
