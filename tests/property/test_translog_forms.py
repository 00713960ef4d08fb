"""Notes, proofs, policies and tiles are read back as written, and no parser is surprised by anything."""

import random

from hypothesis import given
from hypothesis import strategies as st

from hivemark.errors import InvalidError, UnverifiedError
from hivemark.protocol.keys import PrivateKey
from hivemark.translog import checkpoint, merkle, note, policy, tiles, tlogproof
from hivemark.translog.append import RightEdge, plan_append, read_edge

hashes = st.binary(min_size=32, max_size=32)
lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]))
names = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="./-"), min_size=1)
signers = st.builds(
    note.NoteSigner, names, hashes.map(PrivateKey.from_seed), st.sampled_from(list(note.KeyType))
)


def sign(text: str, signer: note.NoteSigner) -> note.NoteSignature:
    if signer.type is note.KeyType.COSIGNATURE:
        return note.cosign(text, signer, time_s=1_700_000_000)
    return note.sign_note(text, signer)


@given(st.lists(lines, max_size=5), st.lists(signers, min_size=1, max_size=4))
def test_notes_are_read_back_and_every_signature_holds(text_lines, by):
    text = "".join(f"{line}\n" for line in text_lines) or "\n"
    made = note.Note(text, tuple(dict.fromkeys(sign(text, signer) for signer in by)))
    parsed = note.parse_note(note.encode_note(made))
    assert parsed == made
    verifiers = list(dict.fromkeys(signer.verifier for signer in by))
    assert {item.verifier for item in note.verify_note(parsed, verifiers)} == set(verifiers)


@given(st.binary(max_size=200) | st.text(alphabet="— aA=\n").map(str.encode))
def test_no_bytes_surprise_the_note_parser(raw):
    try:
        parsed = note.parse_note(raw)
    except InvalidError as error:
        assert error.code == "note_malformed"
    else:
        assert note.encode_note(parsed) == raw


@given(signers)
def test_vkeys_are_read_back(signer):
    assert note.parse_vkey(str(signer.verifier)) == signer.verifier


@given(st.text())
def test_no_text_surprises_the_vkey_parser(text):
    try:
        note.parse_vkey(text)
    except InvalidError as error:
        assert error.code == "vkey_malformed"


@given(lines.filter(bool), st.integers(1, 2**63 - 1), hashes, st.lists(lines.filter(bool), max_size=3))
def test_checkpoints_are_read_back(origin, size, root, extensions):
    made = checkpoint.Checkpoint(origin, size, root, tuple(extensions))
    assert checkpoint.parse_checkpoint(checkpoint.encode_checkpoint(made)) == made


@given(st.text())
def test_no_text_surprises_the_checkpoint_parser(text):
    try:
        checkpoint.parse_checkpoint(text)
    except InvalidError as error:
        assert error.code == "checkpoint_malformed"


@given(st.integers(0, 2**63 - 1), st.lists(hashes, max_size=63), st.none() | st.binary(max_size=20))
def test_proof_files_are_read_back(index, path, extra):
    signer = note.NoteSigner("log.example", PrivateKey.from_seed(bytes(32)))
    signed = checkpoint.sign_checkpoint(checkpoint.Checkpoint("log.example", 1, bytes(32)), signer)
    made = tlogproof.TlogProof(index, tuple(path), signed, extra)
    assert tlogproof.parse_tlog_proof(tlogproof.encode_tlog_proof(made)) == made


@given(st.text() | lines.map(lambda line: f"c2sp.org/tlog-proof@v1\nindex {line}\n\n{line}\n"))
def test_no_text_surprises_the_proof_parser(text):
    try:
        tlogproof.parse_tlog_proof(text)
    except InvalidError as error:
        assert error.code in {"proof_malformed", "note_malformed", "checkpoint_malformed"}


@given(
    network=names,
    seeds=st.lists(hashes, min_size=3, max_size=8, unique=True),
    threshold=st.integers(1, 8),
    url=st.none() | st.just("https://log.example/"),
)
def test_policies_are_read_back_and_count_to_their_threshold(network, seeds, threshold, url):
    service, log_key, *witness_keys = [PrivateKey.from_seed(seed) for seed in seeds]
    witnesses = tuple(
        policy.Witness(f"w{n}", note.VerifierKey(f"w{n}.example", note.KeyType.COSIGNATURE, key.public))
        for n, key in enumerate(witness_keys)
    )
    members = tuple(witness.name for witness in witnesses)
    threshold = min(threshold, len(members))
    made = policy.Policy(
        network=network,
        service_key=service.public,
        logs=(policy.Log(note.VerifierKey("log", note.KeyType.ED25519, log_key.public), url),),
        witnesses=witnesses,
        groups=(policy.Group("g", threshold, members),),
        quorum="g",
    )
    parsed = policy.parse_policy(policy.encode_policy(made))
    assert parsed == made
    assert parsed.fingerprint == made.fingerprint
    assert all(
        parsed.is_satisfied_by(members[:count]) == (count >= threshold) for count in range(len(members) + 1)
    )


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(["log", "witness", "group", "quorum", "none", "any", "w", "\t", "# x", "1"])
    ).map(lambda words: (policy.HEADER + "\n" + " ".join(words) + "\n").encode())
)
def test_no_bytes_surprise_the_policy_parser(raw):
    try:
        policy.parse_policy(raw)
    except InvalidError as error:
        assert error.code == "policy_malformed"
    else:
        raise AssertionError("a policy without logs was taken")


@given(st.integers(-1, 63), st.integers(0, 10**12), st.integers(1, 256))
def test_tile_paths_are_read_back(level, index, width):
    ref = tiles.TileRef(level, index, width)
    assert tiles.parse_tile_path(ref.path) == ref


@given(st.text() | st.from_regex(r"tile/(\d{1,2}|entries)/(x\d{3}/){0,2}\d{3}(\.p/\d{1,3})?", fullmatch=True))
def test_whatever_tile_path_is_accepted_is_canonical(path):
    try:
        ref = tiles.parse_tile_path(path)
    except InvalidError as error:
        assert error.code == "tile_path_malformed"
    else:
        assert ref.path == path


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_entry_bundles_are_read_back(entries):
    assert list(tiles.parse_entry_bundle(tiles.encode_entry_bundle(entries))) == entries


@given(st.binary(max_size=300))
def test_whatever_entry_bundle_is_accepted_is_canonical(raw):
    try:
        entries = tiles.parse_entry_bundle(raw)
    except InvalidError as error:
        assert error.code == "entry_bundle_malformed"
    else:
        assert tiles.encode_entry_bundle(entries) == raw


@given(st.lists(st.integers(0, 700), max_size=6), st.integers(0, 2**32))
def test_any_batches_give_the_same_tree_and_provable_entries(batches, seed):
    files: dict[str, bytes] = {}
    edge, leaves = RightEdge(), []
    for count in batches:
        entries = [b"%d" % n for n in range(edge.size, edge.size + count)]
        plan = plan_append(edge, entries)
        files.update((file.path, file.content) for file in plan.files)
        edge, leaves = plan.edge, leaves + list(plan.leaf_hashes)
    assert edge.root == merkle.root_of(leaves)
    assert read_edge(edge.size, files.get) == edge
    if edge.size:
        index = random.Random(seed).randrange(edge.size)
        proof = merkle.inclusion_proof(index, edge.size, tiles.TileHashes(edge.size, files.get))
        merkle.verify_inclusion(leaves[index], index=index, size=edge.size, proof=proof, root=edge.root)


@given(st.integers(0, 70), st.integers(0, 70), st.lists(hashes, max_size=8), hashes)
def test_a_random_proof_never_holds(index, size, proof, root):
    try:
        merkle.verify_inclusion(merkle.leaf_hash(b"x"), index=index, size=size, proof=proof, root=root)
    except UnverifiedError:
        return
    raise AssertionError("a random proof held")
