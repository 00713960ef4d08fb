"""The committed vectors are what the code makes, and say what the standards say."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from hivemark.client.verify import verify_document
from hivemark.errors import HivemarkError, UnverifiedError
from hivemark.protocol import base64strict, canonical, cid, keys, strictjson, times
from hivemark.protocol.jobspec import parse_jobspec, verify_jobspec
from hivemark.translog import checkpoint, merkle, note, policy, tiles, tlogproof

FOLDER = Path(__file__).parent


def load_maker():
    if "make_vectors" not in sys.modules:
        spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make_vectors.py")
        sys.modules["make_vectors"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["make_vectors"])
    return sys.modules["make_vectors"]


def vectors(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def unbase64(text: str) -> bytes:
    return base64strict.decode_base64(text)


def refusal(action) -> HivemarkError:
    with pytest.raises(HivemarkError) as caught:
        action()
    return caught.value


@pytest.mark.parametrize("name", list(load_maker().FILES))
def test_no_byte_of_any_format_has_changed(name):
    assert load_maker().render(name) == (FOLDER / f"{name}.json").read_text()


def test_canonical_form_agrees_with_the_example_of_rfc_8785():
    value = json.loads(
        r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        r'"string":"\u20ac$\u000F\u000aA'
        r"'\u0042\u0022\u005c\\\"\/"
        r'","literals":[null,true,false]}'
    )
    assert canonical.encode_canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_numbers_agree_with_appendix_b_of_rfc_8785():
    texts = {case["ieee754"]: case["text"] for case in vectors("numbers")["numbers"]}
    assert texts["0000000000000001"] == "5e-324"
    assert texts["4430000000000000"] == "295147905179352830000"
    assert texts["44b52d02c7e14af6"] == "1e+23"
    assert texts["444b1ae4d6e2ef50"] == "1e+21"
    assert texts["3eb0c6f7a0b5ed8d"] == "0.000001"
    assert texts["becbf647612f3696"] == "-0.0000033333333333333333"


def test_accepted_json_has_its_canonical_form():
    for case in vectors("json")["accepted"]:
        value = strictjson.parse_json(unbase64(case["raw"]))
        assert canonical.encode_canonical(value).decode() == case["canonical"]


@pytest.mark.parametrize("case", vectors("json")["refused"], ids=lambda case: case["code"])
def test_refused_json_is_refused_by_its_code(case):
    assert refusal(lambda: strictjson.parse_json(unbase64(case["raw"]))).code == case["code"]


def test_exactly_the_honest_signatures_are_valid():
    """Reasoned out, not computed: whatever is of small order or encoded otherwise is refused."""
    valid = [case["why"] for case in vectors("ed25519")["cases"] if case["valid"]]
    assert valid == [
        "an honest signature",
        "the empty message",
        "a key with a torsion part, holds without the cofactor too",
    ]


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_signatures_agree_with_rfc_8032(seed, public, message, signature):
    key = keys.PrivateKey.from_seed(bytes.fromhex(seed))
    assert key.public.raw.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    key.public.verify(bytes.fromhex(signature), bytes.fromhex(message))


def test_times_and_cids_agree_with_the_examples_of_their_standards():
    stored = vectors("encoding")
    for text in stored["rfc3339_refused"]:
        assert refusal(lambda text=text: times.parse_rfc3339(text)).code == "timestamp_malformed"
    for text in stored["base64_refused"]:
        assert refusal(lambda text=text: unbase64(text)).code == "base64_malformed"
    assert cid.cid_raw(b"hello") == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
    assert cid.cid_file(b"hello bee\n") == "bafkreid3g6y7feniqttqs3n72pxbvcl5iqjzufsprdgzv7yvif6vguqgie"
    assert cid.cid_file(b"") == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    generated = stored["cid_of_generated_file"]["file"]
    assert generated == "bafybeihsx2smpd3idyqcbrqwuhll45ggjgamlqxekgmfvqnaxpiorykkj4"


@pytest.mark.parametrize("case", vectors("jobspec")["refused"], ids=lambda case: case["why"])
def test_a_bad_jobspec_is_refused_by_code_and_field(case):
    error = refusal(lambda: verify_jobspec(parse_jobspec(unbase64(case["raw"]))))
    assert (error.code, error.field) == (case["code"], case["field"])


def test_the_pae_is_the_one_of_the_dsse_specification():
    case = vectors("dsse")["pae"][0]
    assert unbase64(case["encoding"]) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_vkeys_survive_a_round_trip():
    for text in vectors("notes")["vkeys"]:
        assert str(note.parse_vkey(text)) == text


@pytest.mark.parametrize("raw", vectors("notes")["malformed"])
def test_a_malformed_note_is_refused(raw):
    assert refusal(lambda: note.parse_note(raw.encode())).code == "note_malformed"


@pytest.mark.parametrize("text", vectors("notes")["checkpoints_malformed"])
def test_a_malformed_checkpoint_is_refused(text):
    assert refusal(lambda: checkpoint.parse_checkpoint(text)).code == "checkpoint_malformed"


def test_the_empty_tree_and_the_empty_leaf_have_their_known_hashes():
    encode = base64strict.encode_base64
    assert encode(merkle.EMPTY_ROOT) == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert encode(merkle.leaf_hash(b"")) == "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0="


@pytest.mark.parametrize("case", vectors("merkle")["inclusion"])
def test_inclusion_proofs_hold_exactly_when_said(case):
    proof = [unbase64(item) for item in case["proof"]]
    try:
        merkle.verify_inclusion(
            unbase64(case["leaf"]),
            index=case["index"],
            size=case["size"],
            proof=proof,
            root=unbase64(case["root"]),
        )
    except UnverifiedError as error:
        assert not case["valid"] and error.code == "inclusion_invalid"
    else:
        assert case["valid"]


@pytest.mark.parametrize("case", vectors("merkle")["consistency"])
def test_consistency_proofs_hold_exactly_when_said(case):
    try:
        merkle.verify_consistency(
            first=case["first"],
            first_root=unbase64(case["first_root"]),
            second=case["second"],
            second_root=unbase64(case["second_root"]),
            proof=[unbase64(item) for item in case["proof"]],
        )
    except UnverifiedError as error:
        assert not case["valid"] and error.code == "consistency_invalid"
    else:
        assert case["valid"]


@pytest.mark.parametrize("path", vectors("tiles")["paths_malformed"])
def test_a_malformed_tile_path_is_refused(path):
    assert refusal(lambda: tiles.parse_tile_path(path)).code == "tile_path_malformed"


def test_partial_tiles_are_those_of_the_tiles_specification():
    assert vectors("tiles")["partial_widths"][0]["paths"] == [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert tiles.TileRef(0, 1_234_067).path == "tile/0/x001/x234/067"


def test_a_policy_means_the_same_in_other_spacing():
    stored = vectors("policy")
    same = policy.parse_policy(stored["same_in_other_spacing"].encode())
    assert same == policy.parse_policy(stored["policy"].encode())
    assert same.fingerprint != stored["fingerprint"]  # it is of the bytes


@pytest.mark.parametrize("case", vectors("policy")["refused"], ids=lambda case: case["why"])
def test_a_malformed_policy_is_refused(case):
    assert refusal(lambda: policy.parse_policy(case["policy"].encode())).code == "policy_malformed"


@pytest.mark.parametrize("case", vectors("proofs")["malformed"], ids=lambda case: case["why"])
def test_a_malformed_proof_is_refused(case):
    assert refusal(lambda: tlogproof.parse_tlog_proof(case["text"])).code == "proof_malformed"


@pytest.mark.parametrize("case", vectors("bundles")["good"], ids=lambda case: case["why"])
def test_a_good_bundle_is_verified(case):
    trusted = policy.parse_policy(vectors("bundles")["policy"].encode())
    assert verify_document(case["bundle"].encode(), trusted).signers_known


@pytest.mark.parametrize("case", vectors("bundles")["forged"], ids=lambda case: case["why"])
def test_a_forged_bundle_is_refused_by_the_step_that_sees_it(case):
    trusted = policy.parse_policy(vectors("bundles")["policy"].encode())
    error = refusal(lambda: verify_document(case["bundle"].encode(), trusted))
    assert isinstance(error, UnverifiedError)
    assert error.code == case["code"]
