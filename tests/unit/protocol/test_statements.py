"""Statements say what their signer may say, in one form, with a reason for every null."""

import json

import pytest
from msgspec.structs import replace

from hivemark.errors import InvalidError, TooLargeError, UnverifiedError
from hivemark.protocol import acceptance, enrolment, entry, grant, receipt
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.dsse import parse_envelope, sign_envelope, verify_envelope


def refusal(action) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        action()
    return caught.value


@pytest.fixture
def made(chain):
    return chain.build_chain()


def test_a_receipt_is_read_back_as_it_was_signed(chain, made):
    envelope = receipt.sign_receipt(made.receipt, chain.HIVE)
    assert receipt.verify_receipt(envelope, chain.HIVE.public) == made.receipt


def test_an_acceptance_is_read_back_as_it_was_signed(chain, made):
    envelope = acceptance.sign_acceptance(made.acceptance, chain.SERVICE)
    assert acceptance.verify_acceptance(envelope, chain.SERVICE.public) == made.acceptance


def test_an_enrolment_is_read_back_as_it_was_signed(chain):
    event = enrolment.Enrolment(
        network="n",
        event="enrolled",
        hive=receipt.HiveRef.of(chain.HIVE.public),
        at="2026-11-20T20:10:29.123Z",
        region=receipt.ClaimedRegion(claimed="EU"),
        absent={},
    )
    envelope = enrolment.sign_enrolment(event, chain.SERVICE)
    assert enrolment.verify_enrolment(envelope, chain.SERVICE.public) == event
    unplaced = replace(event, region=receipt.ClaimedRegion(claimed=None))
    with pytest.raises(InvalidError) as refused:
        enrolment.encode_enrolment(unplaced)
    assert refused.value.code == "reason_missing"
    reasoned = replace(unplaced, absent={"region.claimed": "not stated"})
    assert enrolment.parse_enrolment(enrolment.encode_enrolment(reasoned)) == reasoned
    parsed = entry.parse_entry(entry.encode_enrolled(envelope))
    assert isinstance(parsed, entry.EnrolmentEntry) and parsed.enrolment.raw == envelope


def test_another_key_does_not_verify(chain, made):
    envelope = receipt.sign_receipt(made.receipt, chain.HIVE)
    with pytest.raises(UnverifiedError) as caught:
        receipt.verify_receipt(envelope, chain.SERVICE.public)
    assert caught.value.code == "key_mismatch"


def test_a_forged_signature_under_the_right_key_id_does_not_verify(chain, made):
    value = json.loads(receipt.sign_receipt(made.receipt, chain.HIVE))
    value["signatures"][0]["sig"] = encode_base64(chain.SERVICE.sign(b"other"))
    with pytest.raises(UnverifiedError) as caught:
        receipt.verify_receipt(encode_canonical(value), chain.HIVE.public)
    assert caught.value.code == "signature_invalid"


def test_another_payload_type_is_not_a_statement(chain):
    envelope = parse_envelope(sign_envelope(b"{}", chain.HIVE, "text/plain"))
    with pytest.raises(UnverifiedError) as caught:
        verify_envelope(envelope, chain.HIVE.public)
    assert caught.value.code == "payload_type_mismatch"


def test_a_receipt_of_another_hive_is_refused(chain, made):
    payload = receipt.encode_receipt(made.receipt)
    stranger = chain.key_of("stranger")
    error = refusal(lambda: receipt.verify_receipt(sign_envelope(payload, stranger), stranger.public))
    assert error.code == "hive_mismatch"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"finish_reason": None}, "reason_missing", "predicate.finish_reason"),
        ({"model": None}, "reason_missing", "predicate.model"),
        ({"usage": None}, "reason_missing", "predicate.usage"),
        ({"outcome": "failed"}, "member_invalid", "predicate.failure"),
        ({"outcome": "done"}, "member_invalid", "predicate.outcome"),
        ({"seed": -1}, "member_invalid", "predicate.seed"),
        ({"seed": 2**53}, "not_canonical", None),
        ({"grant_sha256": "A" * 64}, "member_invalid", "predicate.grant_sha256"),
        ({"network": ""}, "member_invalid", "predicate.network"),
    ],
)
def test_a_receipt_that_cannot_be_is_never_made(made, changes, code, field):
    error = refusal(lambda: receipt.encode_receipt(replace(made.receipt, **changes)))
    assert (error.code, error.field) == (code, field)


def test_a_reason_for_what_is_there_is_refused(made):
    absent = {**made.receipt.absent, "seed": "unknown"}
    error = refusal(lambda: receipt.encode_receipt(replace(made.receipt, absent=absent)))
    assert (error.code, error.field) == ("reason_unneeded", "predicate.seed")


def test_an_id_that_is_not_the_keys_is_refused(chain, made):
    hive = receipt.HiveRef(id="hive_" + "a" * 26, public_key=chain.HIVE.public.base64)
    error = refusal(lambda: receipt.encode_receipt(replace(made.receipt, hive=hive)))
    assert error.code == "hive_id_mismatch"


def test_times_that_do_not_exist_are_refused(made):
    times = replace(made.receipt.times, started="2026-02-30T20:10:29.123Z")
    error = refusal(lambda: receipt.encode_receipt(replace(made.receipt, times=times)))
    assert (error.code, error.field) == ("timestamp_malformed", "predicate.times.started")


def test_a_completed_attempt_has_an_output(made):
    commitments = replace(made.receipt.commitments, output=None)
    error = refusal(lambda: receipt.encode_receipt(replace(made.receipt, commitments=commitments)))
    assert (error.code, error.field) == ("member_invalid", "predicate.commitments.output")


@pytest.mark.parametrize(("number", "code"), [(1e300, "json_number_range"), (float("nan"), "member_invalid")])
def test_an_acceptance_that_cannot_be_read_back_is_never_made(made, number, code):
    region = replace(made.acceptance.region, evidence={"rtt_ms": number})
    absent = {path: why for path, why in made.acceptance.absent.items() if path != "region.evidence"}
    error = refusal(
        lambda: acceptance.encode_acceptance(replace(made.acceptance, region=region, absent=absent))
    )
    assert error.code == code


def test_a_receipt_beyond_the_size_of_an_entry_is_never_made(made):
    absent = {f"{number}": "x" * 1024 for number in range(64)}
    with pytest.raises(TooLargeError):
        receipt.encode_receipt(replace(made.receipt, absent=absent))


def test_prefixes_have_to_grow(made):
    prefix = made.receipt.commitments.prefixes[0]
    commitments = replace(made.receipt.commitments, prefixes=(prefix, prefix))
    error = refusal(lambda: receipt.encode_receipt(replace(made.receipt, commitments=commitments)))
    assert error.field == "predicate.commitments.prefixes"


def test_a_failed_attempt_is_about_its_grant(made):
    failure = receipt.Failure(stage="load", code="crashed", message="signal 9", transient=True)
    commitments = replace(made.receipt.commitments, output=None, token_ids=None, prefixes=())
    reasons = dict.fromkeys(("commitments.output", "commitments.token_ids", "finish_reason"), "it crashed")
    failed = replace(
        made.receipt,
        outcome="failed",
        failure=failure,
        commitments=commitments,
        finish_reason=None,
        absent={**made.receipt.absent, **reasons},
    )
    subject = json.loads(receipt.encode_receipt(failed))["subject"]
    assert subject == [{"name": "grant", "digest": {"sha256": failed.grant_sha256}}]


def test_a_subject_that_differs_from_the_predicate_is_refused(made):
    value = json.loads(receipt.encode_receipt(made.receipt))
    value["subject"][0]["digest"]["sha256"] = "0" * 64
    assert refusal(lambda: receipt.parse_receipt(encode_canonical(value))).code == "subject_mismatch"


def test_a_receipt_is_not_an_acceptance(made):
    payload = receipt.encode_receipt(made.receipt)
    assert refusal(lambda: acceptance.parse_acceptance(payload)).code == "predicate_type_mismatch"


@pytest.mark.parametrize("path", ["predicate.colour", "predicate.engine.colour", "colour"])
def test_unknown_members_are_refused_by_name(made, path):
    value = json.loads(receipt.encode_receipt(made.receipt))
    inner = value
    for name in path.split(".")[:-1]:
        inner = inner[name]
    inner["colour"] = "red"
    error = refusal(lambda: receipt.parse_receipt(encode_canonical(value)))
    assert (error.code, error.field) == ("member_unknown", path)


@pytest.mark.parametrize("outcome", ["lost", "no_receipt"])
def test_outcomes_without_a_receipt_name_none(made, outcome):
    error = refusal(lambda: acceptance.encode_acceptance(replace(made.acceptance, outcome=outcome)))
    assert error.field == "predicate.receipt_sha256"


def test_verified_means_consistent_or_attested(made):
    region = replace(made.acceptance.region, verified=True)
    error = refusal(lambda: acceptance.encode_acceptance(replace(made.acceptance, region=region)))
    assert error.field == "predicate.region.verified"


def test_a_fourth_attempt_cannot_be_accepted(made):
    assert refusal(lambda: acceptance.encode_acceptance(replace(made.acceptance, number=4))).field == (
        "predicate.number"
    )


def test_a_grant_travels_and_verifies(chain, made):
    assert (
        grant.verify_grant(grant.parse_grant(made.grant.to_json()), chain.SERVICE.public) == made.grant.grant
    )
    changed = made.grant.to_json()
    changed["grant"]["seed"] = 8
    with pytest.raises(UnverifiedError):
        grant.verify_grant(grant.parse_grant(changed), chain.SERVICE.public)


def test_entries_keep_the_envelopes_bytes(chain, made):
    parsed = entry.parse_entry(made.entry)
    assert isinstance(parsed, entry.AttemptEntry) and parsed.receipt is not None
    assert parsed.receipt.raw == receipt.sign_receipt(made.receipt, chain.HIVE)
    assert parsed.receipt.sha256 == made.acceptance.receipt_sha256
    assert entry.encode_attempt(parsed.acceptance.raw, parsed.receipt.raw) == made.entry


def test_a_private_entry_tells_nothing_but_its_commitment(chain, made):
    raw = entry.encode_private(bytes(32), made.entry)
    parsed = entry.parse_entry(raw)
    assert isinstance(parsed, entry.PrivateEntry)
    assert raw == b'{"private":"%s","v":1}' % parsed.commitment.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b'{"v":1}',
        b'{"private":"%s","v":2}' % (b"a" * 64),
        b'{"private":"%s","v":true}' % (b"a" * 64),
        b'{"private":"%s"}' % (b"a" * 64),
        b'{"v":1,"private":"%s"}' % (b"a" * 64),
        b'{"extra":1,"private":"%s","v":1}' % (b"a" * 64),
        b'{"private":"short","v":1}',
        b'{"private":null,"v":1}',
        b'{"acceptance":null,"receipt":null,"v":1}',
    ],
)
def test_what_is_no_entry_is_refused(raw):
    refusal(lambda: entry.parse_entry(raw))


def test_an_entry_that_does_not_fit_into_a_log_is_refused(chain, made):
    big = replace(made.receipt, absent={**made.receipt.absent, "x" * 50_000: "long"})
    with pytest.raises((TooLargeError, InvalidError)):
        entry.encode_attempt(sign_envelope(b"x" * 60_000, chain.HIVE), None)
    with pytest.raises((TooLargeError, InvalidError)):
        receipt.encode_receipt(big)
    with pytest.raises(TooLargeError):
        entry.parse_entry(b'{"private":"' + b"a" * 65_535 + b'","v":1}')
