"""From an attempt to a receipt that verifies, says everything and gives a reason for what it does not say."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.api.link import RESULT_BYTES_MAX, Lease
from hivemark.hive.engines.base import Chunk, EngineFacts
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.receipts import ReceiptContext, Salts, build_result
from hivemark.hive.recording import CHUNKS_MAX, OUTPUT_BYTES_MAX, Recording
from hivemark.hive.request import parse_request
from hivemark.hive.runner import Attempted
from hivemark.protocol.base64strict import decode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import commit
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import Engine, Model, Usage, verify_receipt

KEY = PrivateKey.from_seed(b"h" * 32)
CONTEXT = ReceiptContext(KEY, "home-test", "US", ("region",))
SALTS = Salts(b"r" * 32, b"o" * 32, b"t" * 32, b"q" * 32)
FACTS = EngineFacts(
    Engine(name="e", version="1", build="b", backend="c", dtype="f32", architecture="x86_64", threads=1),
    Model(
        name="tiny",
        weights_sha256="d" * 64,
        tokenizer_sha256="e" * 64,
        template_sha256="f" * 64,
        quantisation="q8_0",
    ),
)
VALUE = {
    "model": {"name": "tiny", "weights_sha256": "d" * 64},
    "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "2 + 3? <>&\"'é"}],
    "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 20_000, "stop": []},
    "seed": 7,
    "question": {"id": "q1", "set_sha256": None},
}


def lease(value=VALUE):
    return Lease(
        job="job_1",
        execution="exe_1",
        attempt="att_1",
        lease_version=2,
        lease_until_ms=1,
        grant={},
        grant_signature="",
        request=value,
        result_url="/r",
        first_token_timeout_s=1,
        stall_timeout_s=1,
        run_timeout_s=1,
    )


def attempted(*chunks, failure=None, facts=FACTS):
    recording = Recording(output_salt=SALTS.output, max_tokens=20_000)
    for chunk in chunks:
        recording.add(chunk)
    return Attempted(facts, recording, 1_000, 1_100 if chunks else None, 1_200, 200_000, failure)


def build(done, *, value=VALUE, context=CONTEXT):
    frame = build_result(
        context, lease(value), parse_request(value), done, grant_sha256="a" * 64, salts=SALTS
    )
    return frame, verify_receipt(decode_base64(frame.envelope), KEY.public)


ENDING = Chunk(token_ids=(9,), finish_reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=3))


def test_a_completed_attempt_commits_to_request_output_and_token_ids():
    frame, receipt = build(
        attempted(Chunk("Pa", (1,)), Chunk("ris 🐝", (2,)), ENDING),
    )
    hidden, shown = receipt.commitments, frame.disclosure
    assert hidden.request == commit(SALTS.request, encode_canonical(VALUE))
    assert hidden.output == commit(SALTS.output, "Paris 🐝".encode()) and shown.output == "Paris 🐝"
    assert hidden.token_ids == commit(SALTS.token_ids, b"[1,2,9]") and shown.token_ids == (1, 2, 9)
    assert receipt.question.commitment == commit(SALTS.question, VALUE["messages"][1]["content"].encode())
    assert receipt.outcome == "completed" and receipt.finish_reason == "stop"
    assert receipt.simulated == ("region",) and receipt.region.claimed == "US"
    assert receipt.absent == {"question.set_sha256": "the question was posted in full"}


def test_a_published_question_is_named_by_its_set_and_not_committed_to():
    value = VALUE | {"question": {"id": "q1", "set_sha256": "5" * 64}}
    frame, receipt = build(attempted(Chunk("x", (1,)), ENDING), value=value)
    assert receipt.question.set_sha256 == "5" * 64 and receipt.question.commitment is None
    assert frame.disclosure.question_salt is None


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=300))
def test_every_prefix_is_a_commitment_to_the_output_so_far(texts):
    _, receipt = build(attempted(*(Chunk(text, (1,)) for text in texts), ENDING))
    output = "".join(texts).encode()
    prefixes = receipt.commitments.prefixes
    assert [prefix.chunks for prefix in prefixes] == list(range(64, len(texts) + 1, 64))
    for prefix in prefixes:
        assert prefix.bytes == len("".join(texts[: prefix.chunks]).encode())
        assert prefix.commitment == commit(SALTS.output, output[: prefix.bytes])


def test_a_failure_without_output_stands_on_its_grant():
    failure = EngineFailure(Stage.LOAD, "worker_died", "status 70")
    frame, receipt = build(attempted(failure=failure))
    assert receipt.failure.stage == "load" and receipt.failure.transient
    assert receipt.commitments.output is None and frame.disclosure.output is None
    assert frame.disclosure.token_ids is None
    assert set(receipt.absent) == {
        "commitments.output",
        "commitments.token_ids",
        "finish_reason",
        "question.set_sha256",
        "times.first_token",
        "usage",
    }


def test_a_failure_in_the_middle_keeps_what_there_was():
    failure = EngineFailure(Stage.STREAM, "stalled", "no further token")
    frame, receipt = build(attempted(Chunk("Once upon", (1, 2)), failure=failure))
    assert receipt.outcome == "failed" and frame.disclosure.output == "Once upon"
    assert receipt.commitments.output == commit(SALTS.output, b"Once upon")


def test_an_engine_that_leaves_out_token_ids_has_none():
    frame, receipt = build(attempted(Chunk("a", (1,)), Chunk("b"), ENDING))
    assert receipt.commitments.token_ids is None and frame.disclosure.token_ids is None
    assert receipt.absent["commitments.token_ids"]


def test_an_engine_that_tells_nothing_leaves_reasons():
    bare = EngineFacts(
        Engine(
            name="e", version="unknown", build=None, backend=None, dtype=None, architecture=None, threads=None
        ),
        Model(name="m", weights_sha256=None, tokenizer_sha256=None, template_sha256=None, quantisation=None),
    )
    _, receipt = build(attempted(Chunk("x"), Chunk(finish_reason="stop"), facts=bare))
    assert receipt.absent["model.weights_sha256"] == "not told by the engine"
    assert receipt.absent["engine.threads"] and receipt.absent["usage"]


def test_the_largest_recording_still_fits_a_log_entry_and_a_result():
    piece = "\x00" * (OUTPUT_BYTES_MAX // CHUNKS_MAX)
    frame, receipt = build(attempted(*(Chunk(piece, (65_535,)) for _ in range(CHUNKS_MAX)), ENDING))
    assert len(receipt.commitments.prefixes) == CHUNKS_MAX // 64
    assert len(decode_base64(frame.envelope)) < 50_000
    assert len(msgspec.json.encode(frame)) < RESULT_BYTES_MAX


@pytest.mark.parametrize(
    ("chunk", "times", "code"),
    [
        (Chunk("x" * (OUTPUT_BYTES_MAX // 2), (1,)), 3, "output_too_large"),
        (Chunk("x", (1,)), CHUNKS_MAX + 1, "output_too_large"),
        (Chunk("", tuple(range(1_000))), 21, "engine_overran"),
    ],
)
def test_an_engine_that_overruns_is_stopped(chunk, times, code):
    with pytest.raises(EngineFailure) as failed:
        attempted(*[chunk] * times)
    assert failed.value.code == code


def test_salts_are_drawn_apart():
    drawn = iter(hashlib.sha256(bytes([i])).digest() for i in range(4))
    salts = Salts.draw(lambda _: next(drawn))
    assert len({salts.request, salts.output, salts.token_ids, salts.question}) == 4
