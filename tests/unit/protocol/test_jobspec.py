"""The JobSpec: both spellings of a member are one value, and limits name what they limit."""

import json

import pytest

from hivemark.errors import InvalidError, TooLargeError, UnsatisfiableError
from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec, verify_jobspec
from hivemark.protocol.keys import PrivateKey

KEY = PrivateKey.from_seed(bytes(32))
NOW_MS = 1_795_205_429_123
BASE = {"id": "j", "benchmark": "b", "questions": ["q"], "models": ["m"]}


def signed(**members):
    return parse_jobspec(sign_jobspec({**BASE, **members}, KEY, now_ms=NOW_MS, random=bytes))


def test_defaults_are_those_of_the_table():
    spec = signed().spec
    assert (spec.version, spec.runs, spec.container) == ("1", 1, None)
    constraints, execution = spec.constraints, spec.execution
    assert (constraints.min_regions, constraints.min_success_rate) == (1, 0.67)
    assert (constraints.timeout_s, constraints.provider_timeout_s) == (600, 300)
    assert constraints.max_cost_micro is None
    sampling = execution.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.stop) == (0, 1, 256, ())
    assert (execution.seed, execution.visibility, execution.verification.level) == (0, None, "none")
    assert spec.metadata.timestamp_ms == NOW_MS


def test_both_spellings_are_one_value():
    long = signed(benchmark={"name": "b"}, questions=[{"id": "q"}], models=[{"name": "m"}])
    short = signed()
    assert long.spec == short.spec
    assert long.spec_sha256 != short.spec_sha256  # the signature is over what was written


def test_text_survives_as_it_is():
    text = '<>&" 🐝 \u202eRTL \U0010ffff'
    assert signed(questions=[{"id": "q", "text": text}]).spec.questions[0].text == text


def test_white_space_and_order_of_the_posted_bytes_do_not_matter_to_the_signature():
    value = signed().value
    shuffled = json.dumps(dict(reversed(value.items())), indent=7).encode()
    again = parse_jobspec(shuffled)
    verify_jobspec(again)
    assert again.spec_sha256 == signed().spec_sha256


def test_timestamp_and_nonce_of_the_signer_are_kept():
    metadata = {"timestamp": "2026-01-01T00:00:00Z", "nonce": "mine", "note": "x"}
    spec = signed(metadata=metadata).spec
    assert (spec.metadata.nonce, spec.metadata.extra) == ("mine", {"note": "x"})


@pytest.mark.parametrize(
    ("cost", "micro"),
    [("0", 0), ("0.000001", 1), (0.1, 100_000), (3, 3_000_000), ("9007199254.000000", 9_007_199_254_000_000)],
)
def test_costs_are_exact_micro_credits(cost, micro):
    assert signed(constraints={"max_cost": cost}).spec.constraints.max_cost_micro == micro


@pytest.mark.parametrize("cost", ["", "1e3", "-1", "+1", " 1", "01", ".5", "1.", 1e-7, "9007199255", True])
def test_costs_that_cannot_be_are_refused(cost):
    with pytest.raises(InvalidError) as caught:
        signed(constraints={"max_cost": cost})
    assert caught.value.field == "constraints.max_cost"


def test_noop_needs_neither_questions_nor_models():
    spec = signed(benchmark="noop", questions=[], models=[]).spec
    assert spec.benchmark.is_noop


@pytest.mark.parametrize("image", [None, "", "noop"])
def test_a_container_that_does_not_run_is_recorded(image):
    container = signed(container={"image": image, "tag": "1", "command": ["a"]}).spec.container
    assert container is not None and container.command == ("a",)
    inside = signed(benchmark={"name": "b", "container": {"image": image}}).spec.container
    assert inside is not None


def test_a_container_inside_the_benchmark_is_refused_too():
    with pytest.raises(UnsatisfiableError) as caught:
        signed(benchmark={"name": "b", "container": {"image": "debian"}})
    assert (caught.value.code, caught.value.field) == ("container_unsupported", "benchmark.container.image")


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"container": {}, "benchmark": {"name": "b", "container": {}}}, "benchmark.container"),
        ({"execution": {"verification": {"replicas": 2, "quorum": 3}}}, "execution.verification.quorum"),
        ({"execution": {"verification": {"class": "hope"}}}, "execution.verification.class"),
        ({"execution": {"personas": [{"id": "p", "system": ""}] * 2}}, "execution.personas[1]"),
        ({"execution": {"arms": [{"id": "a"}, {"id": "a"}]}}, "execution.arms[1]"),
        ({"execution": {"valid_until": "tomorrow"}}, "execution.valid_until"),
        ({"execution": {"sampling": {"temperature": 2.1}}}, "execution.sampling.temperature"),
        ({"execution": {"visibility": "secret"}}, "execution.visibility"),
        ({"constraints": {"regions": ["EU", "EU"]}}, "constraints.regions[1]"),
        ({"constraints": {"regions": [f"R{n}" for n in range(17)]}}, "constraints.regions"),
        ({"constraints": {"timeout_s": 0}}, "constraints.timeout_s"),
        ({"metadata": {f"m{n}": "" for n in range(31)}}, "metadata"),
        ({"metadata": {"nonce": "a b"}}, "metadata.nonce"),
        ({"metadata": {"nonce": 7}}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"questions": [f"q{n}" for n in range(1001)]}, "questions"),
        ({"runs": True}, "runs"),
        ({"runs": 1.5}, "runs"),
    ],
)
def test_a_member_out_of_its_limits_is_named(members, field):
    with pytest.raises(InvalidError) as caught:
        signed(**members)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("signature", 7, "signature_malformed"),
        ("public_key", 7, "public_key_malformed"),
        ("signature", "", "signature_missing"),
        ("public_key", None, "signature_missing"),
    ],
)
def test_a_signature_that_is_no_text_is_refused(member, value, code):
    raw = json.dumps({**signed().value, member: value}).encode()
    with pytest.raises(InvalidError) as caught:
        parse_jobspec(raw)
    assert (caught.value.code, caught.value.field) == (code, member)


def test_a_missing_signature_is_reported_before_other_faults():
    with pytest.raises(InvalidError) as caught:
        parse_jobspec(b'{"colour":"red"}')
    assert caught.value.code == "signature_missing"


def test_one_byte_over_a_megabyte_is_too_large():
    raw = sign_jobspec(BASE, KEY, now_ms=NOW_MS, random=bytes)
    verify_jobspec(parse_jobspec(raw + b" " * (1_048_576 - len(raw))))
    with pytest.raises(TooLargeError):
        parse_jobspec(raw + b" " * (1_048_577 - len(raw)))
