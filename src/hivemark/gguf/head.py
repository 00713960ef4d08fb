"""The head of a GGUF file: metadata and the table of tensors, from bytes that may lie.

Every length is compared with the bytes that are left before anything of that size is made, so a hostile
file costs memory in proportion to its own size at most. The `gguf` package's reader is not used because
it walks arrays of whatever length a file claims and holds one array object per string; tests hold the two
readers against each other on honest files. Versions 2 and 3, little-endian.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from hivemark.errors import InvalidError

Value: TypeAlias = "int | float | bool | str | list[int] | list[float] | list[bool] | list[str]"

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
KEY_BYTES_MAX: Final = 1024
ENTRIES_MAX: Final = 65_536
ARRAY_ITEMS_MAX: Final = 4_000_000
DIMENSIONS_MAX: Final = 4
ALIGNMENT_DEFAULT: Final = 32

STRING: Final = 8
ARRAY: Final = 9
BOOL: Final = 7
SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}

# Tensor type number → (name, elements in a block, bytes of a block), as ggml has them.
TENSOR_TYPES: Final = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
    15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1),
    25: ("i16", 1, 2),
    26: ("i32", 1, 4),
    27: ("i64", 1, 8),
    28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
    40: ("nvfp4", 64, 36),
    41: ("q1_0", 128, 18),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies in the file; `shape` is row-major (the file lists it the other way round)."""

    name: str
    shape: tuple[int, ...]
    kind: str
    offset_bytes: int
    size_bytes: int

    @property
    def elements(self) -> int:
        """How many numbers the tensor holds."""
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, slots=True)
class GgufHead:
    """Metadata, the raw record of each key (for digests), and the tensors by name."""

    metadata: Mapping[str, Value]
    records: Mapping[str, bytes]
    tensors: Mapping[str, TensorInfo]


def parse_gguf(raw: memoryview) -> GgufHead:
    """Read the head of the file in `raw`; `InvalidError` code `gguf_malformed` names what is wrong."""
    cursor = _Cursor(raw)
    if bytes(cursor.take(4, "the magic bytes")) != MAGIC:
        raise _malformed("the file does not start with GGUF")
    version = cursor.integer("I", "the version")
    if version not in VERSIONS:
        raise _malformed(f"version {version} is not 2 or 3 (or the file is big-endian)", code="gguf_version")
    tensor_count = _bounded(cursor.integer("Q", "the tensor count"), ENTRIES_MAX, "the tensor count")
    key_count = _bounded(cursor.integer("Q", "the metadata count"), ENTRIES_MAX, "the metadata count")
    metadata: dict[str, Value] = {}
    records: dict[str, bytes] = {}
    for _ in range(key_count):
        start = cursor.offset
        key = cursor.text("a metadata key", bytes_max=KEY_BYTES_MAX)
        if key in metadata:
            raise _malformed("the key appears twice", field=key)
        metadata[key] = _value(cursor, key)
        records[key] = bytes(raw[start : cursor.offset])
    entries = [_tensor_entry(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", ALIGNMENT_DEFAULT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 65_536 or alignment & (alignment - 1):
        raise _malformed("the alignment is not a power of two up to 65536", field="general.alignment")
    start_bytes = -(-cursor.offset // alignment) * alignment
    tensors = _placed(entries, start_bytes=start_bytes, alignment=alignment, raw=raw)
    return GgufHead(metadata, records, tensors)


class _Cursor:
    """A position in the bytes that never passes their end."""

    def __init__(self, raw: memoryview) -> None:
        self.raw = raw
        self.offset = 0

    def take(self, size_bytes: int, what: str) -> memoryview:
        left = len(self.raw) - self.offset
        if size_bytes > left:
            raise _malformed(f"{what} claims {size_bytes} bytes where {left} are left")
        part = self.raw[self.offset : self.offset + size_bytes]
        self.offset += size_bytes
        return part

    def integer(self, code: str, what: str) -> int:
        layout = struct.Struct("<" + code)
        number: int = layout.unpack(self.take(layout.size, what))[0]
        return number

    def text(self, what: str, *, bytes_max: int | None = None) -> str:
        size_bytes = self.integer("Q", f"the length of {what}")
        if bytes_max is not None:
            _bounded(size_bytes, bytes_max, f"the length of {what}")
        try:
            return str(self.take(size_bytes, what), "utf-8")
        except UnicodeDecodeError as error:
            raise _malformed(f"{what} is not UTF-8") from error


def _value(cursor: _Cursor, key: str) -> Value:
    kind = cursor.integer("I", f"the type of {key}")
    if kind == STRING:
        return cursor.text(key)
    if kind == ARRAY:
        return _array(cursor, key)
    return _numbers(cursor, key, kind, 1)[0]


def _array(cursor: _Cursor, key: str) -> Value:
    kind = cursor.integer("I", f"the item type of {key}")
    count = _bounded(cursor.integer("Q", f"the length of {key}"), ARRAY_ITEMS_MAX, f"the length of {key}")
    if kind == STRING:
        # Each string costs eight bytes of the file, so a lying count ends at the first missing one.
        return [cursor.text(f"an item of {key}") for _ in range(count)]
    return _numbers(cursor, key, kind, count)


def _numbers(cursor: _Cursor, key: str, kind: int, count: int) -> list[int] | list[float] | list[bool]:
    code = SCALARS.get(kind)
    if code is None:
        raise _malformed(f"value type {kind} is not one this reader knows", field=key)
    raw = cursor.take(count * struct.calcsize("<" + code), key)
    values = list(struct.unpack(f"<{count}{code}", raw))
    return [value != 0 for value in values] if kind == BOOL else values


def _tensor_entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.text("a tensor name", bytes_max=KEY_BYTES_MAX)
    what = f"the number of dimensions of {name}"
    dimensions = _bounded(cursor.integer("I", what), DIMENSIONS_MAX, what)
    lengths = [cursor.integer("Q", f"a length of {name}") for _ in range(dimensions)]
    kind = cursor.integer("I", f"the type of {name}")
    offset = cursor.integer("Q", f"the offset of {name}")
    return name, tuple(reversed(lengths)), kind, offset


def _placed(
    entries: list[tuple[str, tuple[int, ...], int, int]], *, start_bytes: int, alignment: int, raw: memoryview
) -> dict[str, TensorInfo]:
    """The tensors by name, each inside the file, aligned, and none over another.

    Overlap is refused because many entries over the same bytes would let a small file ask for any amount
    of memory once they are turned into numbers.
    """
    tensors: dict[str, TensorInfo] = {}
    for name, shape, kind, offset in entries:
        if name in tensors:
            raise _malformed("the tensor appears twice", field=name)
        tensors[name] = _located(name, shape, kind, start_bytes + offset)
        if offset % alignment:
            raise _malformed(f"offset {offset} is not a multiple of {alignment}", field=name)
    end_bytes = start_bytes
    for tensor in sorted(tensors.values(), key=lambda each: each.offset_bytes):
        if tensor.offset_bytes < end_bytes:
            raise _malformed("the tensor overlaps the one before it", field=tensor.name)
        end_bytes = tensor.offset_bytes + tensor.size_bytes
        if end_bytes > len(raw):
            raise _malformed(f"the tensor ends at byte {end_bytes} of {len(raw)}", field=tensor.name)
    return tensors


def _located(name: str, shape: tuple[int, ...], kind: int, offset_bytes: int) -> TensorInfo:
    known = TENSOR_TYPES.get(kind)
    if known is None:
        raise InvalidError(
            f"tensor type {kind} is not one this reader knows", code="quantisation_unsupported", field=name
        )
    kind_name, block_elements, block_bytes = known
    if not shape or 0 in shape or shape[-1] % block_elements:
        raise _malformed(f"shape {shape} does not fit {kind_name} blocks of {block_elements}", field=name)
    elements = TensorInfo(name, shape, kind_name, 0, 0).elements
    return TensorInfo(name, shape, kind_name, offset_bytes, elements // block_elements * block_bytes)


def _bounded(number: int, limit: int, what: str) -> int:
    if number > limit:
        raise _malformed(f"{what} is {number}, more than {limit}")
    return number


def _malformed(message: str, *, field: str | None = None, code: str = "gguf_malformed") -> InvalidError:
    return InvalidError(message, code=code, field=field)
