"""Three ways to cheat, done to a real bundle, so that anyone can watch each of them being refused."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from hivemark.protocol.bundle import Bundle
from hivemark.protocol.dsse import Envelope, sign_envelope
from hivemark.protocol.entry import AttemptEntry, encode_attempt, parse_entry
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import HiveRef, encode_receipt, parse_receipt
from hivemark.translog.tlogproof import encode_tlog_proof, parse_tlog_proof


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
            "the receipt signed again, correctly, by a fresh key",
            "the log holds the receipt of another hive at this place",
            _other_signer(genuine, random),
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


def _other_signer(bundle: Bundle, random: Callable[[int], bytes]) -> Bundle:
    """What somebody with a key of his own can do: name himself in the receipt, and sign it correctly."""
    entry = parse_entry(bundle.entry)
    assert isinstance(entry, AttemptEntry) and entry.receipt is not None, "this forgery needs a receipt"
    forged = _sign_as_another(entry.receipt, PrivateKey.generate(random))
    return replace(bundle, entry=encode_attempt(entry.acceptance.raw, forged))


def _sign_as_another(envelope: Envelope, key: PrivateKey) -> bytes:
    receipt = msgspec.structs.replace(parse_receipt(envelope.payload), hive=HiveRef.of(key.public))
    return sign_envelope(encode_receipt(receipt), key)
