"""Verification: what it shows, what it refuses, and what it says without a policy.

The forgeries stand in `tests/vectors/bundles.json`; here is what the verdict says and every single byte.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as struct_replace

from hivemark.client.verify import (
    EXIT_NOT_VERIFIED,
    EXIT_VERIFIED,
    exit_code_of,
    verify_bundle,
    verify_document,
    verify_documents,
)
from hivemark.errors import UnverifiedError
from hivemark.jobs.questions import load_question_sets
from hivemark.protocol.bundle import Disclosed, encode_bundle
from hivemark.protocol.enrolment import Enrolment, sign_enrolment
from hivemark.protocol.entry import encode_enrolled
from hivemark.protocol.receipt import Prefix
from hivemark.translog.tlogproof import encode_tlog_proof

VECTORS = Path(__file__).parents[2] / "vectors"


def load_chain():
    if "chain" not in sys.modules:
        spec = importlib.util.spec_from_file_location("chain", VECTORS / "chain.py")
        sys.modules["chain"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["chain"])
    return sys.modules["chain"]


chain = load_chain()
GOOD = chain.build_chain()


EXECUTION = chain.jobspec_value()["execution"]


def failed_step(bundle, policy=GOOD.policy) -> str:
    with pytest.raises(UnverifiedError) as caught:
        verify_bundle(bundle, policy)
    return caught.value.code


def test_a_good_bundle_passes_every_step_in_order():
    verdict = verify_bundle(GOOD.bundle, GOOD.policy)
    assert [check.name for check in verdict.checks] == [
        "inclusion",
        "checkpoint",
        "acceptance",
        "receipt",
        "agreement",
        "spec",
        "request",
        "request",
        "question",
        "token_ids",
        "output",
    ]
    assert verdict.signers_known
    assert verdict.receipt == GOOD.receipt
    assert verdict.levels == ("L0 signed receipt in a log witnessed by witness-1.example, witness-2.example",)


def test_without_witnesses_the_label_says_so():
    alone = chain.build_chain(cosigners=())
    assert failed_step(alone.bundle) == "quorum_missing"
    verdict = verify_bundle(alone.bundle, chain.policy_of(()))
    assert verdict.levels == ("L0 signed receipt in a log without witnesses",)


def test_without_a_policy_the_signers_are_unknown_and_no_level_is_claimed():
    verdict = verify_bundle(GOOD.bundle, None)
    assert not verdict.signers_known
    assert verdict.levels == ()
    names = {check.name for check in verdict.checks}
    assert not names & {"checkpoint", "acceptance"}


def test_without_a_policy_a_changed_answer_is_still_refused():
    output = replace(GOOD.bundle.disclosed.output, text="La capitale est Lyon.")
    changed = replace(GOOD.bundle, disclosed=replace(GOOD.bundle.disclosed, output=output))
    assert failed_step(changed, None) == "disclosure_mismatch"


def test_less_may_be_disclosed():
    verdict = verify_bundle(replace(GOOD.bundle, spec=None, disclosed=Disclosed()), GOOD.policy)
    assert verdict.signers_known
    assert verdict.checks[-1].name == "agreement"


def test_a_lost_attempt_is_proved_without_a_level():
    lost = chain.build_chain(with_receipt=False)
    verdict = verify_bundle(lost.bundle, GOOD.policy)
    assert verdict.acceptance.outcome == "lost" and verdict.receipt is None and verdict.levels == ()
    shown = replace(lost.bundle, disclosed=GOOD.bundle.disclosed)
    assert failed_step(shown) == "disclosure_mismatch"


def test_a_private_entry_is_proved_through_its_commitment():
    private = chain.build_chain(entry_salt=bytes(32))
    assert verify_bundle(private.bundle, GOOD.policy).signers_known
    assert failed_step(replace(private.bundle, entry_salt=bytes(31) + b"\x01")) == "inclusion_invalid"


def test_no_bit_of_the_entry_can_change():
    for position in range(0, len(GOOD.entry), 37):
        changed = bytearray(GOOD.entry)
        changed[position] ^= 1
        assert failed_step(replace(GOOD.bundle, entry=bytes(changed))) in {
            "entry_malformed",
            "inclusion_invalid",
        }


def test_no_character_of_the_proof_can_change():
    proof = GOOD.bundle.proof
    for position in range(0, len(proof), 5):
        character = "A" if proof[position] != "A" else "B"
        changed = proof[:position] + character + proof[position + 1 :]
        code = failed_step(replace(GOOD.bundle, proof=changed))
        assert code in {
            "proof_malformed",
            "inclusion_invalid",
            "log_unknown",
            "note_signature_invalid",
            "quorum_missing",
        }


def test_a_signed_jobspec_alone_is_consistent_but_its_signer_unknown():
    verdict = verify_document(GOOD.spec, GOOD.policy)
    assert (verdict.kind, verdict.signers_known) == ("jobspec", False)
    assert chain.CLIENT.public.fingerprint in verdict.checks[-1].detail


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"bundle":"hivemark.dev/bundle/v2"}', b"\xff", b"[" * 99]
)
def test_what_is_neither_is_not_verified(raw):
    with pytest.raises(UnverifiedError):
        verify_document(raw, GOOD.policy)


def test_one_bad_document_does_not_hide_the_others():
    raw = encode_bundle(GOOD.bundle)
    forged = encode_bundle(replace(GOOD.bundle, spec=GOOD.spec + b" "))
    results = verify_documents([("a", raw), ("b", forged), ("c", raw)], GOOD.policy)
    assert [result.is_verified for result in results] == [True, False, True]
    assert exit_code_of(results) == EXIT_NOT_VERIFIED
    assert exit_code_of(results[:1]) == EXIT_VERIFIED
    assert exit_code_of([]) == EXIT_NOT_VERIFIED
    assert results[1].to_json()["code"] == "spec_mismatch"
    assert results[0].to_json()["outcome"] == "accepted"


def test_unknown_signers_are_not_exit_code_zero():
    results = verify_documents([("a", encode_bundle(GOOD.bundle))], None)
    assert exit_code_of(results) == EXIT_NOT_VERIFIED
    assert results[0].to_json()["verified"] is False


def acceptance_but(**changes):
    return chain.build_chain(acceptance_changes=changes).bundle


def receipt_but(**changes):
    """A bundle whose acceptance is about the changed receipt, so that only the named step can object."""
    return chain.build_chain(receipt_changes=changes).bundle


def test_an_enrolment_is_not_an_attempt():
    event = Enrolment(
        network=chain.NETWORK,
        event="enrolled",
        hive=GOOD.receipt.hive,
        at=GOOD.receipt.times.started,
        region=GOOD.receipt.region,
        absent={},
    )
    raw = encode_enrolled(sign_enrolment(event, chain.SERVICE))
    proof = encode_tlog_proof(chain.prove(raw, chain.LOG, chain.WITNESSES))
    assert failed_step(replace(GOOD.bundle, entry=raw, proof=proof)) == "entry_malformed"


def test_the_receipt_has_to_be_the_accepted_one():
    assert failed_step(acceptance_but(receipt_sha256="0" * 64)) == "receipt_mismatch"


def test_region_and_delivered_output_have_to_agree():
    region = struct_replace(GOOD.acceptance.region, claimed="US")
    assert failed_step(acceptance_but(region=region)) == "statements_disagree"
    delivered = struct_replace(GOOD.acceptance.delivered, commitment="0" * 64)
    assert failed_step(acceptance_but(delivered=delivered)) == "statements_disagree"


@pytest.mark.parametrize("name", ["execution", "attempt", "grant_sha256"])
def test_receipt_and_acceptance_describe_one_attempt(name):
    assert failed_step(acceptance_but(**{name: "0" * 64})) == "statements_disagree"


def test_the_delivered_length_has_to_be_the_outputs():
    delivered = struct_replace(GOOD.acceptance.delivered, bytes=1)
    assert failed_step(acceptance_but(delivered=delivered)) == "disclosure_mismatch"


def test_the_attempt_has_to_belong_to_this_request():
    spec = struct_replace(GOOD.acceptance.spec, sha256="0" * 64)
    assert failed_step(acceptance_but(spec=spec)) == "spec_mismatch"


def test_question_model_and_weights_have_to_be_those_asked_for():
    question = struct_replace(GOOD.receipt.question, id="de")
    other_model = struct_replace(GOOD.receipt.model, name="hivemark-tiny-q4")
    other_weights = struct_replace(GOOD.receipt.model, weights_sha256="0" * 64)
    assert failed_step(receipt_but(question=question)) == "spec_mismatch"
    assert failed_step(receipt_but(model=other_model)) == "spec_mismatch"
    assert failed_step(receipt_but(model=other_weights)) == "spec_mismatch"


def test_the_seed_is_that_of_a_repeat():
    seven_to_nine = chain.posted_spec(runs=3)
    for seed, good in ((6, False), (7, True), (9, True), (10, False)):
        bundle = chain.build_chain(spec=seven_to_nine, receipt_changes={"seed": seed}).bundle
        assert (good and verify_bundle(bundle, GOOD.policy)) or failed_step(bundle) == "spec_mismatch"
    last = chain.posted_spec(runs=2, execution=EXECUTION | {"seed": 2**53 - 1})
    assert verify_bundle(chain.build_chain(spec=last, receipt_changes={"seed": 0}).bundle, GOOD.policy)


@pytest.mark.parametrize(
    ("regions", "arms", "is_admitted"),
    [
        ([], [], True),
        (["US", "EU"], [], True),
        (["US"], [], False),
        ([], [{"id": "a", "region": "US"}], False),
        ([], [{"id": "a", "region": "US"}, {"id": "b"}], True),
        (["US"], [{"id": "a", "region": "EU"}], True),
        (["US"], [{"id": "a", "region": "ASIA"}, {"id": "b"}], False),
    ],
)
def test_the_region_is_one_that_was_asked_for(regions, arms, is_admitted):
    spec = chain.posted_spec(constraints={"regions": regions}, execution=EXECUTION | {"arms": arms})
    bundle = chain.build_chain(spec=spec).bundle
    if is_admitted:
        verify_bundle(bundle, GOOD.policy)
    else:
        assert failed_step(bundle) == "spec_mismatch"


@pytest.mark.parametrize("with_receipt", [True, False])
def test_the_hive_is_one_that_was_admitted(with_receipt):
    hive = GOOD.receipt.hive.id
    for providers, good in (
        ({"allow": [hive]}, True),
        ({"allow": ["hive_other"]}, False),
        ({"deny": [hive]}, False),
        ({"allow": [hive], "deny": [hive]}, False),
    ):
        spec = chain.posted_spec(constraints={"providers": providers})
        bundle = chain.build_chain(spec=spec, with_receipt=with_receipt).bundle
        assert (good and verify_bundle(bundle, GOOD.policy)) or failed_step(bundle) == "spec_mismatch"


def test_a_posted_question_is_put_in_its_own_words_after_a_persona_of_the_spec():
    asked = {"role": "user", "content": chain.QUESTION}
    pirate, other = ({"role": "system", "content": text} for text in ("You are a pirate.", "Lie."))
    spec = chain.posted_spec(execution=EXECUTION | {"personas": [{"id": "p", "system": pirate["content"]}]})
    for messages, good in (
        ([pirate, asked], True),
        ([asked], False),
        ([other, asked], False),
        ([pirate, asked, asked], False),
        ([pirate, asked | {"content": "The capital of Spain?"}], False),
        (None, False),
    ):
        bundle = chain.build_chain(spec=spec, request=chain.REQUEST | {"messages": messages}).bundle
        assert (good and verify_bundle(bundle, GOOD.policy)) or failed_step(bundle) == "spec_mismatch"


PUBLISHED = load_question_sets().get("capital-france")


def question_check(bundle) -> str:
    checks = verify_bundle(bundle, GOOD.policy).checks
    return next(check.detail for check in checks if check.name == "question")


@pytest.mark.parametrize("with_spec", [True, False])
def test_a_published_question_is_put_in_the_words_of_its_set(with_spec):
    for text, good in ((PUBLISHED.text, True), (PUBLISHED.text + " ", False)):
        bundle = chain.of_a_set(text, set_sha256=PUBLISHED.set_sha256).bundle
        bundle = bundle if with_spec else replace(bundle, spec=None)
        if good:
            set_name = PUBLISHED.set_sha256[:12]
            assert question_check(bundle) == f"capital-france was put as question set {set_name} has it"
        else:
            assert failed_step(bundle) == "spec_mismatch"


def test_words_that_cannot_be_compared_are_said_not_to_be():
    bundle = chain.of_a_set("Anything?", set_sha256="ab" * 32).bundle
    expected = "question set abababababab is not known here; its text was not compared"
    assert question_check(bundle) == expected
    without_spec = replace(GOOD.bundle, spec=None)
    assert "its text was not compared" in question_check(without_spec)


def test_a_receipt_cannot_choose_where_the_words_of_its_question_stand():
    posted_but_said_published = struct_replace(GOOD.receipt.question, set_sha256=PUBLISHED.set_sha256)
    absent = {name: why for name, why in GOOD.receipt.absent.items() if name != "question.set_sha256"}
    assert failed_step(receipt_but(question=posted_but_said_published, absent=absent)) == "spec_mismatch"
    assert failed_step(chain.of_a_set(PUBLISHED.text, set_sha256=None).bundle) == "spec_mismatch"
    assert failed_step(receipt_but(question=None, absent=absent)) == "spec_mismatch"


def test_what_nobody_committed_to_cannot_be_disclosed():
    commitments = struct_replace(GOOD.receipt.commitments, token_ids=None)
    absent = {**GOOD.receipt.absent, "commitments.token_ids": "the engine gives none"}
    bundle = receipt_but(commitments=commitments, absent=absent)
    assert failed_step(bundle) == "disclosure_mismatch"


def test_a_prefix_cannot_be_longer_than_the_output_or_another_text():
    long = Prefix(chunks=64, bytes=10_000, commitment=GOOD.receipt.commitments.output)
    other = Prefix(chunks=64, bytes=12, commitment="0" * 64)
    for prefix in (long, other):
        commitments = struct_replace(GOOD.receipt.commitments, prefixes=(prefix,))
        assert failed_step(receipt_but(commitments=commitments)) == "disclosure_mismatch"
