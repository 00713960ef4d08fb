"""Notes and policies: what the vectors do not show."""

import hashlib

import pytest

from hivemark.errors import InvalidError, UnverifiedError
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.keys import PrivateKey
from hivemark.translog import checkpoint, note
from hivemark.translog.policy import HEADER, SERVICE, parse_policy

KEY = PrivateKey.from_seed(bytes(32))
LOG = note.NoteSigner("log.example/2026", KEY)
WITNESS = note.NoteSigner("w.example", PrivateKey.from_seed(bytes(31) + b"w"), note.KeyType.COSIGNATURE)
TEXT = checkpoint.encode_checkpoint(checkpoint.Checkpoint(LOG.name, 1, bytes(32)))


def vkey(name: str, blob: bytes) -> str:
    key_id = hashlib.sha256(name.encode() + b"\n" + blob).hexdigest()[:8]
    return f"{name}+{key_id}+{encode_base64(blob)}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        vkey("", b"\x01" + bytes(32)),
        vkey("a b", b"\x01" + bytes(32)),
        vkey("a", b"\x02" + bytes(32)),
        vkey("a", b"\x01" + bytes(31)),
        vkey("a", b"\x01" + bytes(33)),
        vkey("a", b"\x06" + bytes(1312)),
        vkey("a", b"\x01" + bytes(32)).replace("a+", "a+f", 1),
        vkey("a", b"\x01" + bytes(32)).upper(),
    ],
)
def test_a_vkey_that_cannot_be_is_refused(text):
    with pytest.raises(InvalidError) as caught:
        note.parse_vkey(text)
    assert caught.value.code == "vkey_malformed"


def test_a_cosignature_of_another_algorithm_byte_is_an_unknown_key():
    as_log = note.VerifierKey(WITNESS.name, note.KeyType.ED25519, WITNESS.key.public)
    made = note.Note(TEXT, (note.cosign(TEXT, WITNESS, time_s=1),))
    assert note.verify_note(made, [as_log]) == ()
    assert note.verify_note(made, [WITNESS.verifier])[0].time_s == 1


def test_a_cosignature_beyond_2_to_the_63_is_refused():
    made = note.Note(TEXT, (note.cosign(TEXT, WITNESS, time_s=1 << 63),))
    with pytest.raises(UnverifiedError) as caught:
        note.verify_note(made, [WITNESS.verifier])
    assert caught.value.code == "note_signature_invalid"


def test_a_line_is_not_repeated():
    signed = note.sign_note(TEXT, LOG)
    made = note.Note(TEXT, (signed,)).with_signatures([signed, note.cosign(TEXT, WITNESS, time_s=1)])
    assert len(made.signatures) == 2


def test_a_hundred_signatures_are_the_limit():
    line = note.sign_note(TEXT, LOG)
    note.parse_note(note.encode_note(note.Note(TEXT, (line,) * 100)))
    for raw in (note.encode_note(note.Note(TEXT, (line,) * 101)), b"a" * 1_048_577):
        with pytest.raises(InvalidError) as caught:
            note.parse_note(raw)
        assert caught.value.code == "note_malformed"


def test_a_checkpoint_of_another_log_is_refused():
    raw = checkpoint.sign_checkpoint(checkpoint.Checkpoint(LOG.name, 1, bytes(32)), LOG)
    assert checkpoint.verify_checkpoint(raw, LOG.verifier).size == 1
    others = (
        note.NoteSigner(LOG.name, WITNESS.key).verifier,
        note.NoteSigner("other.example", KEY).verifier,
    )
    for verifier in others:
        with pytest.raises(UnverifiedError) as caught:
            checkpoint.verify_checkpoint(raw, verifier)
        assert caught.value.code == "log_unknown"


def test_a_listed_log_cannot_sign_for_another_origin():
    policy = parse_policy(
        f"{HEADER}\n{SERVICE}net {KEY.public.base64}\nlog {LOG.verifier}\nquorum none\n".encode()
    )
    text = TEXT.replace(LOG.name, "other.example")
    raw = note.encode_note(note.Note(text, (note.sign_note(text, LOG),)))
    with pytest.raises(UnverifiedError) as caught:
        policy.verify_checkpoint(raw)
    assert caught.value.code == "log_unknown"


def test_the_example_policy_of_the_specification_is_read():
    def witness(name: str) -> str:
        key = PrivateKey.from_seed(hashlib.sha256(name.encode()).digest()).public
        return f"witness {name} {note.VerifierKey(name, note.KeyType.COSIGNATURE, key)}"

    lines = [
        HEADER,
        f"{SERVICE}net {KEY.public.base64}",
        f"log {LOG.verifier}",
        *(witness(f"X{n}") for n in (1, 2, 3)),
        "group X-witnesses 2 X1 X2 X3",
        *(witness(f"Y{n}") for n in (1, 2, 3)),
        "group Y-witnesses any Y1 Y2 Y3",
        "group X-and-Y all X-witnesses Y-witnesses",
        "quorum X-and-Y",
    ]
    policy = parse_policy("".join(f"{line}\n" for line in lines).encode())
    assert policy.is_satisfied_by(["X1", "X3", "Y2"])
    assert not policy.is_satisfied_by(["X1", "Y1", "Y2", "Y3"])
    assert not policy.is_satisfied_by(["X1", "X2", "X3"])


def test_octets_that_are_not_utf8_are_kept_in_comments_and_names():
    raw = (
        f"{HEADER}\n{SERVICE}net {KEY.public.base64}\nlog {LOG.verifier}\n".encode()
        + b"# caf\xe9\nwitness \xff "
        + str(WITNESS.verifier).encode()
        + b"\nquorum \xff\n"
    )
    policy = parse_policy(raw)
    assert policy.is_satisfied_by([policy.witnesses[0].name])


@pytest.mark.parametrize(
    "raw",
    [
        b"a" * 1_048_576 + note.encode_note(note.Note(TEXT, (note.sign_note(TEXT, LOG),))),
        f"{TEXT}\n— log.example/2026 {encode_base64(bytes(4))}\n".encode(),
        f"{TEXT}\n— log.example/2026 {encode_base64(bytes(9))}".encode(),
        f"{TEXT}\n— log.example/2026{encode_base64(bytes(9))}\n".encode(),
        f"{TEXT}— log.example/2026 {encode_base64(bytes(9))}\n".encode(),
        b"\xff" + note.encode_note(note.Note(TEXT, (note.sign_note(TEXT, LOG),))),
    ],
    ids=["too large", "no signature", "no newline", "no space", "no empty line", "not UTF-8"],
)
def test_a_note_that_cannot_be_is_refused(raw):
    with pytest.raises(InvalidError) as caught:
        note.parse_note(raw)
    assert caught.value.code == "note_malformed"


@pytest.mark.parametrize(
    "lines",
    [
        ["quorum none"],
        [f"log {LOG.verifier} url more", "quorum none"],
        ["log", "quorum none"],
        [f"log {LOG.verifier}", f"witness w {WITNESS.verifier} url more", "quorum none"],
        [f"log {LOG.verifier}", "witness w", "quorum none"],
        [f"log {LOG.verifier}", "group g any", "quorum none"],
        [f"log {LOG.verifier}", f"witness w {WITNESS.verifier}", "group g any none", "quorum none"],
        [f"log {LOG.verifier}", "# " + "x" * 65_536, "quorum none"],
    ],
)
def test_a_policy_that_cannot_be_is_refused(lines):
    head = [HEADER, f"{SERVICE}net {KEY.public.base64}"]
    with pytest.raises(InvalidError) as caught:
        parse_policy("".join(f"{line}\n" for line in head + lines).encode())
    assert caught.value.code == "policy_malformed"
