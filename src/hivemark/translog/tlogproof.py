"""`.tlog-proof` files: an inclusion proof with its checkpoint (spec/log 6)."""

from dataclasses import dataclass
from typing import Final

from hivemark.errors import InvalidError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.translog.checkpoint import Checkpoint, parse_checkpoint, parse_decimal
from hivemark.translog.merkle import HASH_BYTES, verify_inclusion
from hivemark.translog.note import parse_note

HEADER: Final = "c2sp.org/tlog-proof@v1"
HASHES_MAX: Final = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """`checkpoint` is the signed note, byte for byte; `extra` is not authenticated by anything."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None


def encode_tlog_proof(proof: TlogProof) -> str:
    """The text of the file."""
    extra = "" if proof.extra is None else f"extra {encode_base64(proof.extra)}\n"
    hashes = "".join(f"{encode_base64(item)}\n" for item in proof.hashes)
    return f"{HEADER}\n{extra}index {proof.index}\n{hashes}\n{proof.checkpoint.decode()}"


def parse_tlog_proof(text: str) -> TlogProof:
    """The strict inverse; raises `InvalidError` with code `proof_malformed`, or what the checkpoint's is."""
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines.pop(0) != HEADER:
        raise InvalidError(f"expected {HEADER}", code="proof_malformed")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "), field="extra", code="proof_malformed")
    word, _, number = lines.pop(0).partition(" ") if lines else ("", "", "")
    index = parse_decimal(number)
    if word != "index" or index is None:
        raise InvalidError("expected the index", code="proof_malformed", field="index")
    if len(lines) > HASHES_MAX:
        raise InvalidError(f"more than {HASHES_MAX} hashes", code="proof_malformed")
    hashes = tuple(decode_base64(line, length=HASH_BYTES, code="proof_malformed") for line in lines)
    try:
        checkpoint = note.encode()
    except UnicodeEncodeError as error:
        raise InvalidError("the checkpoint is not text", code="proof_malformed") from error
    parse_checkpoint(parse_note(checkpoint).text)
    return TlogProof(index, hashes, checkpoint, extra)


def verify_tlog_proof(proof: TlogProof, leaf: bytes) -> Checkpoint:
    """The checkpoint whose tree has this leaf hash at the proof's index; signatures are the policy's matter.

    Raises `UnverifiedError` with code `inclusion_invalid`.
    """
    checkpoint = parse_checkpoint(parse_note(proof.checkpoint).text)
    verify_inclusion(leaf, index=proof.index, size=checkpoint.size, proof=proof.hashes, root=checkpoint.root)
    return checkpoint
