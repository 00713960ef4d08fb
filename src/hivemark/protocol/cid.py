"""IPFS content identifiers, version 1, SHA-256, base32 (spec/encoding 7)."""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hivemark.errors import InvalidError

CHUNK_BYTES: Final = 1_048_576
LINKS_MAX: Final = 1024
RAW: Final = 0x55
DAG_PB: Final = 0x70
_SHA256_PREFIX: Final = bytes([0x12, 0x20])
_UNIXFS_FILE: Final = 2


@dataclass(frozen=True, slots=True)
class Cid:
    """A parsed identifier: multicodec (`RAW` or `DAG_PB`) and SHA-256 of the block."""

    codec: int
    digest: bytes

    def __str__(self) -> str:
        raw = bytes([1, self.codec]) + _SHA256_PREFIX + self.digest
        return "b" + base64.b32encode(raw).decode("ascii").lower().rstrip("=")


@dataclass(frozen=True, slots=True)
class _Link:
    cid: Cid
    content_bytes: int
    tree_bytes: int  # of the block and everything below it


def cid_raw(block: bytes) -> str:
    """The CID of one raw block."""
    return str(Cid(RAW, hashlib.sha256(block).digest()))


def cid_file(content: bytes) -> str:
    """The CID of a file as IPFS implementations import it: 1 MiB chunks, raw leaves, 1,024 links a node."""
    level = [_leaf(chunk) for chunk in _chunks(content)]
    while len(level) > 1:
        level = [_node(level[start : start + LINKS_MAX]) for start in range(0, len(level), LINKS_MAX)]
    return str(level[0].cid)


def parse_cid(text: str) -> Cid:
    """The one spelling that `str(Cid)` gives; raises `InvalidError` with code `cid_malformed`."""
    body = text[1:]
    try:
        raw = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError) as error:
        raise InvalidError("not a CIDv1 in base32", code="cid_malformed") from error
    if len(raw) != 36 or raw[0] != 1 or raw[1] not in (RAW, DAG_PB) or raw[2:4] != _SHA256_PREFIX:
        raise InvalidError("not a CIDv1 with SHA-256 of a raw or dag-pb block", code="cid_malformed")
    cid = Cid(raw[1], raw[4:])
    if str(cid) != text:
        raise InvalidError("not the canonical spelling of this CID", code="cid_malformed")
    return cid


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content) or 1, CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]


def _leaf(chunk: bytes) -> _Link:
    return _Link(Cid(RAW, hashlib.sha256(chunk).digest()), len(chunk), len(chunk))


def _node(links: Sequence[_Link]) -> _Link:
    """A dag-pb node: links first, then the UnixFS record, as every importer writes it."""
    sizes = b"".join(_field(4, 0) + _varint(link.content_bytes) for link in links)
    content_bytes = sum(link.content_bytes for link in links)
    unixfs = _field(1, 0) + _varint(_UNIXFS_FILE) + _field(3, 0) + _varint(content_bytes) + sizes
    block = b"".join(_prefixed(2, _encode_link(link)) for link in links) + _prefixed(1, unixfs)
    tree_bytes = len(block) + sum(link.tree_bytes for link in links)
    return _Link(Cid(DAG_PB, hashlib.sha256(block).digest()), content_bytes, tree_bytes)


def _encode_link(link: _Link) -> bytes:
    binary = bytes([1, link.cid.codec]) + _SHA256_PREFIX + link.cid.digest
    return _prefixed(1, binary) + _prefixed(2, b"") + _field(3, 0) + _varint(link.tree_bytes)


def _field(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _prefixed(number: int, content: bytes) -> bytes:
    return _field(number, 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
