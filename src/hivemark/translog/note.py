"""C2SP signed notes: text, signature lines, verifier keys (spec/log 4)."""

import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from hivemark.errors import InvalidError, UnverifiedError
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.keys import PrivateKey, PublicKey

NOTE_BYTES_MAX: Final = 1_048_576
SIGNATURES_MAX: Final = 100
KEY_ID_BYTES: Final = 4
_DASH: Final = "— "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class KeyType(IntEnum):
    """The signature algorithms we verify; notes may carry others, which are unknown keys to us."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key; its id stands in every signature line it makes."""

    name: str
    type: KeyType
    key: PublicKey

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name ‖ newline ‖ type ‖ key)."""
        blob = self.name.encode() + b"\n" + bytes([self.type]) + self.key.raw
        return hashlib.sha256(blob).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        """The vkey: `name+hex key id+base64(type ‖ key)`."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.type]) + self.key.raw)}"


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A named private key for notes."""

    name: str
    key: PrivateKey
    type: KeyType = KeyType.ED25519

    @property
    def verifier(self) -> VerifierKey:
        """The key by which others check this signer."""
        return VerifierKey(self.name, self.type, self.key.public)


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line; `signature` is what follows the key id."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line with its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note; `text` ends with a newline, which is signed. Nothing is verified yet."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def with_signatures(self, more: Sequence[NoteSignature]) -> "Note":
        """The note with further lines; a line that is already there is not repeated."""
        fresh = dict.fromkeys((*self.signatures, *more))
        return Note(self.text, tuple(fresh))


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A known key's signature that holds; `time_s` is a cosignature's Unix time, else None."""

    verifier: VerifierKey
    time_s: int | None


def parse_vkey(text: str, *, field: str | None = None) -> VerifierKey:
    """Raises `InvalidError` with code `vkey_malformed`, also for key types we do not verify."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not is_key_name(parts[0]):
        raise InvalidError("expected name+key id+base64", code="vkey_malformed", field=field)
    blob = decode_base64(parts[2], field=field, code="vkey_malformed")
    if len(blob) != 33 or blob[0] not in list(KeyType):
        raise InvalidError("not an Ed25519 key of type 1 or 4", code="vkey_malformed", field=field)
    verifier = VerifierKey(parts[0], KeyType(blob[0]), PublicKey.from_raw(blob[1:]))
    if parts[1] != verifier.key_id.hex():
        raise InvalidError("the key id is not the key's", code="vkey_malformed", field=field)
    return verifier


def is_key_name(name: str) -> bool:
    """Whether `name` can stand in a note: not empty, no white space, no plus, no control characters."""
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name)


def sign_note(text: str, signer: NoteSigner) -> NoteSignature:
    """The line of an ordinary (type 0x01) signature over `text`."""
    assert signer.type is KeyType.ED25519, "cosignatures are made by cosign"
    assert text.endswith("\n"), "a note's text ends with a newline"
    return NoteSignature(signer.name, signer.verifier.key_id, signer.key.sign(text.encode()))


def cosign(text: str, signer: NoteSigner, *, time_s: int) -> NoteSignature:
    """The line of a timestamped cosignature (type 0x04) over a checkpoint's text."""
    assert signer.type is KeyType.COSIGNATURE, "only cosigner keys cosign"
    signature = signer.key.sign(_cosignature_message(text, time_s))
    return NoteSignature(signer.name, signer.verifier.key_id, struct.pack(">Q", time_s) + signature)


def encode_note(note: Note) -> bytes:
    """The note's bytes: text, an empty line, the signature lines."""
    return (note.text + "\n" + "".join(signature.line for signature in note.signatures)).encode()


def parse_note(raw: bytes) -> Note:
    """The strict inverse of `encode_note`; raises `InvalidError` with code `note_malformed`."""
    if len(raw) > NOTE_BYTES_MAX:
        raise InvalidError(f"a note has at most {NOTE_BYTES_MAX} bytes", code="note_malformed")
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError("a note is UTF-8", code="note_malformed") from error
    if _CONTROL.search(whole):
        raise InvalidError("control characters in a note", code="note_malformed")
    body, separator, lines = whole.rpartition("\n\n")  # the last empty line
    if not separator or not lines.endswith("\n"):
        raise InvalidError("a note needs an empty line and signature lines", code="note_malformed")
    signed = lines[:-1].split("\n")
    if len(signed) > SIGNATURES_MAX:
        raise InvalidError(f"a note has at most {SIGNATURES_MAX} signatures", code="note_malformed")
    return Note(body + "\n", tuple(parse_signature_line(line) for line in signed))


def parse_signature_line(line: str) -> NoteSignature:
    """One line without its newline; raises `InvalidError` with code `note_malformed`."""
    name, space, text = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not is_key_name(name):
        raise InvalidError("not a signature line", code="note_malformed")
    blob = decode_base64(text, code="note_malformed")
    if len(blob) <= KEY_ID_BYTES:
        raise InvalidError("a signature line without a signature", code="note_malformed")
    return NoteSignature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def verify_note(note: Note, known: Sequence[VerifierKey]) -> tuple[VerifiedSignature, ...]:
    """The signatures of known keys, at most one a key.

    Unknown keys are ignored. Raises `UnverifiedError` with code `note_signature_invalid` when any signature
    under a known key's name and id does not hold, whatever others say.
    """
    by_id = {(verifier.name, verifier.key_id): verifier for verifier in known}
    verified: dict[VerifierKey, VerifiedSignature] = {}
    for signature in note.signatures:
        verifier = by_id.get((signature.name, signature.key_id))
        if verifier is not None:
            checked = _verify_signature(note.text, signature, verifier)
            verified.setdefault(verifier, checked)
    return tuple(verified.values())


def _verify_signature(text: str, signature: NoteSignature, verifier: VerifierKey) -> VerifiedSignature:
    blob, time_s, message = signature.signature, None, text.encode()
    if verifier.type is KeyType.COSIGNATURE:
        time_s = int.from_bytes(blob[:8], "big")
        blob, message = blob[8:], _cosignature_message(text, time_s)
    try:
        if time_s is not None and time_s >= 1 << 63:
            raise UnverifiedError("a cosignature's time is below 2^63")
        verifier.key.verify(blob, message)
    except UnverifiedError as error:
        raise UnverifiedError(
            f"the signature of {verifier.name} does not hold", code="note_signature_invalid"
        ) from error
    return VerifiedSignature(verifier, time_s)


def _cosignature_message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()
