"""Three ways to cheat, done to a real bundle, so that anyone can watch each of them being refused."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from hivemark.protocol.acceptance import parse_acceptance, sign_acceptance
from hivemark.protocol.bundle import Bundle
from hivemark.protocol.dsse import Envelope, parse_envelope
from hivemark.protocol.entry import AttemptEntry, encode_attempt, encode_private, parse_entry
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import HiveRef, parse_receipt, sign_receipt
from hivemark.translog.checkpoint import Checkpoint, encode_checkpoint
from hivemark.translog.merkle import leaf_hash
from hivemark.translog.note import Note, NoteSigner, encode_note, sign_note
from hivemark.translog.tlogproof import TlogProof, encode_tlog_proof, parse_tlog_proof, verify_tlog_proof


@dataclass(frozen=True, slots=True)
class Forgery:
    """A bundle that must not verify: what was done to it, and why that cannot work."""

    title: str
    why: str
    bundle: Bundle


def forge(genuine: Bundle, *, random: Callable[[int], bytes]) -> tuple[Forgery, ...]:
    """The three forgeries of the demo; `genuine` shows its output and is not alone in the log."""
    return (
        Forgery(
            "one byte of the answer changed",
            "the receipt holds a salted digest of the answer",
            _other_answer(genuine),
        ),
        Forgery(
            "one byte of the inclusion proof changed",
            "the hashes have to lead to the root that the log has signed",
            _other_proof(genuine),
        ),
        Forgery(
            "the receipt signed by a fresh key, with acceptance and log by fresh keys around it",
            "all of it agrees with itself, but the pinned policy does not know these keys",
            _other_signers(genuine, random),
        ),
    )


def _other_answer(bundle: Bundle) -> Bundle:
    shown = bundle.disclosed.output
    assert shown is not None and shown.text, "this forgery needs an answer to change"
    changed = ("b" if shown.text[0] == "a" else "a") + shown.text[1:]
    return replace(bundle, disclosed=replace(bundle.disclosed, output=replace(shown, text=changed)))


def _other_proof(bundle: Bundle) -> Bundle:
    proof = parse_tlog_proof(bundle.proof)
    assert proof.hashes, "this forgery needs a log with more than one entry"
    first, *others = proof.hashes
    changed = bytes([first[0] ^ 1]) + first[1:]
    return replace(bundle, proof=encode_tlog_proof(replace(proof, hashes=(changed, *others))))


def _other_signers(bundle: Bundle, random: Callable[[int], bytes]) -> Bundle:
    """The most that somebody without our keys can do: play hive, service and log, and make no mistake."""
    hive, service, log = (PrivateKey.generate(random) for _ in range(3))
    entry = parse_entry(bundle.entry)
    assert isinstance(entry, AttemptEntry) and entry.receipt is not None, "this forgery needs a receipt"
    receipt = _sign_receipt(entry.receipt, hive)
    forged = encode_attempt(_sign_acceptance(entry.acceptance, receipt, hive, service), receipt)
    origin = verify_tlog_proof(parse_tlog_proof(bundle.proof), leaf_hash(_logged(bundle))).origin
    made_anew = replace(bundle, entry=forged)
    return replace(made_anew, proof=_log_of_one(_logged(made_anew), NoteSigner(origin, log)))


def _logged(bundle: Bundle) -> bytes:
    return bundle.entry if bundle.entry_salt is None else encode_private(bundle.entry_salt, bundle.entry)


def _sign_receipt(envelope: Envelope, hive: PrivateKey) -> bytes:
    receipt = parse_receipt(envelope.payload)
    return sign_receipt(msgspec.structs.replace(receipt, hive=HiveRef.of(hive.public)), hive)


def _sign_acceptance(envelope: Envelope, receipt: bytes, hive: PrivateKey, service: PrivateKey) -> bytes:
    acceptance = msgspec.structs.replace(
        parse_acceptance(envelope.payload),
        hive=HiveRef.of(hive.public),
        receipt_sha256=parse_envelope(receipt).sha256,
    )
    return sign_acceptance(acceptance, service)


def _log_of_one(logged: bytes, signer: NoteSigner) -> str:
    """The proof of the only entry of a log: its leaf is the root."""
    text = encode_checkpoint(Checkpoint(signer.name, 1, leaf_hash(logged)))
    return encode_tlog_proof(TlogProof(0, (), encode_note(Note(text, (sign_note(text, signer),)))))
