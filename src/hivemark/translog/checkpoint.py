"""Checkpoints: a log's signed size and root (spec/log 5)."""

import re
from dataclasses import dataclass
from typing import Final

from hivemark.errors import InvalidError, UnverifiedError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.translog.merkle import EMPTY_ROOT, HASH_BYTES
from hivemark.translog.note import (
    Note,
    NoteSigner,
    VerifierKey,
    encode_note,
    parse_note,
    sign_note,
    verify_note,
)

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of `size` entries under `origin` has this root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def parse_decimal(text: str) -> int | None:
    """A non-negative number without leading zeros, below 2^63; None for anything else."""
    number = int(text) if _DECIMAL.fullmatch(text) else None
    return number if number is not None and number < 1 << 63 else None


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """The note text."""
    lines = (checkpoint.origin, str(checkpoint.size), encode_base64(checkpoint.root), *checkpoint.extensions)
    return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """The strict inverse of `encode_checkpoint`; raises `InvalidError` with code `checkpoint_malformed`."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or "" in lines:
        raise InvalidError("a checkpoint has origin, size and root", code="checkpoint_malformed")
    size = parse_decimal(lines[1])
    if size is None:
        raise InvalidError("not a tree size", code="checkpoint_malformed", field="size")
    root = decode_base64(lines[2], length=HASH_BYTES, field="root", code="checkpoint_malformed")
    if size == 0 and root != EMPTY_ROOT:
        raise InvalidError("the empty tree has another root", code="checkpoint_malformed", field="root")
    return Checkpoint(lines[0], size, root, tuple(lines[3:]))


def sign_checkpoint(checkpoint: Checkpoint, log_signer: NoteSigner) -> bytes:
    """The signed note; the log's key is named after the origin."""
    assert log_signer.name == checkpoint.origin, "a log signs under its origin"
    text = encode_checkpoint(checkpoint)
    return encode_note(Note(text, (sign_note(text, log_signer),)))


def verify_checkpoint(raw: bytes, log_key: VerifierKey) -> Checkpoint:
    """The checkpoint of one known log.

    Raises `InvalidError` for its form, `UnverifiedError` with code `log_unknown` when another log made it.
    """
    note = parse_note(raw)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != log_key.name or not verify_note(note, [log_key]):
        raise UnverifiedError(f"not a checkpoint of {log_key.name}", code="log_unknown")
    return checkpoint
