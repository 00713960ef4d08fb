"""Every form of the protocol is read back as written, and no parser is surprised by anything."""

import json
import math
import os
import re

import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from hivemark.errors import HivemarkError, InvalidError, TooLargeError
from hivemark.protocol import base64strict, bundle, canonical, cid, dsse, entry, ids, keys, strictjson, times
from hivemark.protocol.acceptance import parse_acceptance
from hivemark.protocol.commitment import commit, verify_commitment
from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec, verify_jobspec
from hivemark.protocol.receipt import parse_receipt

KEY = keys.PrivateKey.from_seed(bytes(32))
SAFE = 2**53 - 1

texts = st.text()  # without surrogates
numbers = st.integers(-SAFE, SAFE) | st.floats(-SAFE, SAFE, allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values)
@example({"\U00010000": 1, "￿": 2})
@example([1e-7, 5e-324, -0.0, 1e15 + 0.3, 123456.7])
def test_canonical_forms_are_read_back_and_stay_what_they_are(value):
    raw = canonical.encode_canonical(value)
    parsed = strictjson.parse_json(raw, depth_max=64)
    assert parsed == value
    assert canonical.encode_canonical(parsed) == raw
    assert canonical.parse_canonical(raw, bytes_max=len(raw), depth_max=64) == value


@given(values)
@example({"\U00010000": 1, "\uffff": 2})
@example({"e": "-1.0", '\\"': ["\x7f\x1f\b/\u2028", {}, [], "", "1e-07\\", "\U0001f41d"]})
@example([0.0, -0.0, 1.0, 1.5, 0.7, 1e-4, 1e-5, 1e-7, 5e-324, 1e15 + 0.5, 2.0**52 + 0.5, 1e16, 1e21, 1e22])
@example([10**15 - 1, 10**15, SAFE, -SAFE, -(10**15) + 1])
def test_the_canonical_form_is_that_of_the_rfc8785_package(value):
    assert canonical.encode_canonical(value) == rfc8785.dumps(value)


@given(st.sampled_from([math.nan, math.inf, -math.inf, SAFE + 1, -SAFE - 1, "\ud800", {"\udfff": 1}, b""]))
def test_what_has_no_canonical_form_gets_none(value):
    for whole in (value, [value], {"a": value}):
        try:
            raw = canonical.encode_canonical(whole)
        except InvalidError as error:
            assert error.code == "not_canonical"
        else:
            raise AssertionError(raw)


@given(values, st.sampled_from([None, 0, 3]), st.booleans(), st.booleans())
def test_spelling_does_not_change_the_canonical_form(value, indent, ascii_only, sort):
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only, sort_keys=sort).encode()
    parsed = strictjson.parse_json(raw, depth_max=64)
    assert canonical.encode_canonical(parsed) == canonical.encode_canonical(value)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0dD8-+.eE1 tfn').map(str.encode))
def test_json_is_refused_or_understood_as_python_does(raw):
    try:
        value = strictjson.parse_json(raw)
    except InvalidError as error:
        assert error.code.startswith("json_")
    else:
        assert value == json.loads(raw)
        assert canonical.encode_canonical(value)


@given(st.integers(1, 40), st.sampled_from(["[", '{"a":']))
def test_depth_is_counted_exactly(depth, opening):
    closing = "]" if opening == "[" else "}"
    raw = (opening * depth + ("" if opening == "[" else "1") + closing * depth).encode()
    try:
        strictjson.parse_json(raw)
    except InvalidError as error:
        assert error.code == "json_depth" and depth > strictjson.DEPTH_MAX
    else:
        assert depth <= strictjson.DEPTH_MAX


@given(texts)
def test_brackets_in_strings_are_not_depth(text):
    value = [text + "[{" * 40, {text + "]" * 9: '"[\\'}]
    assert strictjson.parse_json(json.dumps(value).encode()) == value


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_only_exact_numbers_are_taken(number):
    raw = json.dumps(number).encode()
    try:
        assert strictjson.parse_json(raw) == number
    except InvalidError as error:
        assert error.code in {"json_number_range", "json_not_finite"}
        assert math.isnan(number) or abs(number) > SAFE


def test_a_megabyte_is_the_limit():
    raw = b'"' + b"a" * (strictjson.BYTES_MAX - 2) + b'"'
    assert len(strictjson.parse_json(raw)) == strictjson.BYTES_MAX - 2
    try:
        strictjson.parse_json(raw + b" ")
    except TooLargeError as error:
        assert error.code == "too_large"
    else:
        raise AssertionError("one byte too many was read")


@given(st.binary(max_size=80))
def test_base64_has_one_text_for_each_byte_string(data):
    assert base64strict.decode_base64(base64strict.encode_base64(data)) == data


@given(st.text(alphabet="ABQRgw+/=-_ \n", max_size=8) | texts)
def test_whatever_base64_is_accepted_is_canonical(text):
    try:
        data = base64strict.decode_base64(text)
    except InvalidError:
        return
    assert base64strict.encode_base64(data) == text


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_times_are_read_back(now_ms):
    assert times.parse_ms(times.format_ms(now_ms)) == now_ms


@given(texts | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_no_time_surprises_the_parser(text):
    try:
        times.parse_rfc3339(text)
    except InvalidError as error:
        assert error.code == "timestamp_malformed"


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=5))
def test_ids_sort_by_time_and_have_one_form(moments):
    made = [ids.new_id(ids.JOB, now_ms=moment, random=os.urandom) for moment in sorted(moments)]
    assert [item[:14] for item in made] == sorted(item[:14] for item in made)
    assert all(re.fullmatch(r"job_[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}", item) for item in made)


@given(st.binary(max_size=64), st.binary(max_size=64), st.binary(min_size=32, max_size=32))
def test_a_commitment_opens_to_its_bytes_alone(content, other, salt):
    made = commit(salt, content)
    verify_commitment(made, salt=salt, content=content)
    if other != content:
        try:
            verify_commitment(made, salt=salt, content=other)
        except HivemarkError as error:
            assert error.code == "commitment_mismatch"
        else:
            raise AssertionError("a commitment opened to other bytes")


@given(st.binary(max_size=300))
def test_cids_are_read_back(content):
    text = cid.cid_raw(content)
    assert str(cid.parse_cid(text)) == text == cid.cid_file(content)


@given(texts | st.text(alphabet="bafkreiabcdefghijklmnopqrstuvwxyz234567", max_size=70))
def test_no_text_surprises_the_cid_parser(text):
    try:
        assert str(cid.parse_cid(text)) == text
    except InvalidError as error:
        assert error.code == "cid_malformed"


@given(st.binary(max_size=200), texts)
def test_envelopes_are_read_back(payload, payload_type):
    raw = dsse.sign_envelope(payload, KEY, payload_type)
    envelope = dsse.parse_envelope(raw)
    assert (envelope.payload, envelope.payload_type, envelope.raw) == (payload, payload_type, raw)
    assert dsse.verify_envelope(envelope, KEY.public, payload_type=payload_type) == payload


@given(st.binary(max_size=120) | values.map(canonical.encode_canonical))
def test_no_bytes_surprise_the_parsers(raw):
    parsers = (
        dsse.parse_envelope,
        entry.parse_entry,
        bundle.parse_bundle,
        parse_jobspec,
        parse_receipt,
        parse_acceptance,
        keys.parse_private_key,
    )
    for parse in parsers:
        try:
            parse(raw)
        except (InvalidError, TooLargeError):
            continue
        raise AssertionError(f"{parse.__name__} took {raw!r}")


@given(
    texts=st.lists(texts.filter(bool), min_size=1, max_size=4),
    seed=st.integers(0, SAFE),
    cost_micro=st.integers(0, 10**15),
    temperature=st.floats(0, 2),
)
def test_every_signed_jobspec_is_accepted_with_its_values(texts, seed, cost_micro, temperature):
    cost = f"{cost_micro // 10**6}.{cost_micro % 10**6:06d}"
    value = {
        "id": "j",
        "benchmark": {"name": "b", "description": texts[0][:1024]},
        "questions": [{"id": f"q{n}", "text": text} for n, text in enumerate(texts)],
        "models": ["m"],
        "constraints": {"max_cost": cost},
        "execution": {"seed": seed, "sampling": {"temperature": temperature}},
    }
    signed = parse_jobspec(sign_jobspec(value, KEY, now_ms=0, random=bytes))
    verify_jobspec(signed)
    assert [question.text for question in signed.spec.questions] == texts
    assert signed.spec.execution.seed == seed
    assert signed.spec.execution.sampling.temperature == temperature
    assert signed.spec.constraints.max_cost_micro == cost_micro


disclosures = st.builds(
    bundle.Disclosed,
    request=st.none() | st.builds(bundle.DisclosedRequest, values, st.just(bytes(32))),
    output=st.none() | st.builds(bundle.DisclosedOutput, texts, st.just(bytes(32))),
    token_ids=st.none()
    | st.builds(bundle.DisclosedTokenIds, st.lists(st.integers(0, SAFE)).map(tuple), st.just(bytes(32))),
)


@given(
    st.builds(
        bundle.Bundle,
        spec=st.none() | st.binary(),
        entry=st.binary(),
        entry_salt=st.none() | st.binary(min_size=32, max_size=32),
        proof=texts,
        disclosed=disclosures,
    )
)
def test_bundles_are_read_back(made):
    assert bundle.parse_bundle(bundle.encode_bundle(made)) == made
