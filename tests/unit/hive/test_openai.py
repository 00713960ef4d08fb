"""Lines of an event stream into chunks, whatever the engine says."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.hive.engines.base import Chunk
from hivemark.hive.engines.openai import StreamParser, asked_of
from hivemark.hive.failure import EngineFailure
from hivemark.hive.request import parse_request
from hivemark.protocol.receipt import Usage


def line(value):
    return b"data: " + json.dumps(value).encode() + b"\n"


def bare(chunk):
    return chunk and replace(chunk, raw=b"")


def choice(delta, finish_reason=None, **more):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **more}


def test_content_token_ids_end_and_usage_are_read():
    parser = StreamParser()
    fed = [
        parser.feed(line(choice({"role": "assistant", "content": ""}, hivemark={"token_ids": []}))),
        parser.feed(line(choice({"content": "Pa"}, hivemark={"token_ids": [1, 2]}, model="x", id="y"))),
        parser.feed(b"\n"),
        parser.feed(b": keep-alive\n"),
        parser.feed(line(choice({}, "stop", hivemark={"token_ids": [3], "engine": {"name": "e"}}))),
        parser.feed(line({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}})),
    ]
    assert [bare(chunk) for chunk in fed] == [
        Chunk(token_ids=()),
        Chunk(text="Pa", token_ids=(1, 2)),
        None,
        None,
        Chunk(token_ids=(3,), finish_reason="stop"),
        Chunk(usage=Usage(prompt_tokens=4, completion_tokens=3)),
    ]
    assert not parser.done
    assert parser.feed(b"data: [DONE]\r\n") is None and parser.done


def test_other_choices_are_not_the_output():
    value = {"choices": [{"index": 1, "delta": {"content": "other"}}]}
    assert bare(StreamParser().feed(line(value))) == Chunk()


def test_events_are_relayed_as_they_came():
    spaced = b'data: {"choices": [ {"index":0, "delta":{"content":"x"}, "other": 1}]}\n'
    assert StreamParser().feed(spaced).raw == spaced + b"\n"


def test_usage_that_nobody_asked_for_is_not_relayed():
    usage = line({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}})
    assert StreamParser(relays_usage=True).feed(usage).raw == usage + b"\n"
    kept = StreamParser(relays_usage=False).feed(usage)
    assert kept.raw == b"" and kept.usage == Usage(prompt_tokens=4, completion_tokens=3)


@pytest.mark.parametrize(
    "raw",
    [
        b"event: ping\n",
        b"data: {nope}\n",
        b'data: {"choices": 7}\n',
        b"data: []\n",
        b"data: \xff\n",
        b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n',
        line(choice({"content": "x"}, hivemark={"token_ids": [-1]})),
        line(choice({"content": "x"}, hivemark={"token_ids": [2**53]})),
        line(choice({}, "x" * 65)),
        line(choice({}, "")),
        line({"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": 0}}),
    ],
)
def test_what_no_receipt_could_say_is_garbage(raw):
    with pytest.raises(EngineFailure) as failed:
        StreamParser().feed(raw)
    assert failed.value.code == "engine_garbage" and failed.value.at_fault


def test_an_error_event_is_the_engines_own_failure():
    with pytest.raises(EngineFailure) as failed:
        StreamParser().feed(line({"error": {"message": "out of memory", "code": "x"}}))
    assert failed.value.code == "engine_error" and "out of memory" in failed.value.message


@given(st.binary(max_size=300))
def test_any_line_is_a_chunk_nothing_or_a_failure(raw):
    try:
        fed = StreamParser().feed(b"data: " + raw.replace(b"\n", b""))
    except EngineFailure:
        return
    assert fed is None or isinstance(fed, Chunk)


def test_the_body_asks_for_exactly_the_request():
    request = parse_request(
        {
            "model": {"name": "tiny", "weights_sha256": None},
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
            "sampling": {"temperature": 0.5, "top_p": 0.9, "max_tokens": 5, "stop": ["\n"]},
            "seed": 11,
            "question": None,
        }
    )
    asked = asked_of(request, model="served")
    assert (asked.path, asked.streams) == ("/chat/completions", True)
    assert asked.body == {
        "model": "served",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 5,
        "seed": 11,
        "stop": ["\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def call(endpoint, **body):
    return parse_request(
        {
            "model": {"name": "tiny", "weights_sha256": None},
            "messages": [],
            "sampling": {"temperature": 1, "top_p": 1, "max_tokens": 5, "stop": []},
            "seed": 11,
            "question": None,
            "call": {"endpoint": endpoint, "body": {"model": "tiny", **body}, "salt": "A" * 43 + "="},
        }
    )


def test_a_call_is_forwarded_as_it_was_posted_with_the_leased_seed():
    asked = asked_of(call("chat.completions", messages=[1], odd={"x": None}, seed=4), model="served")
    assert asked.body == {"model": "served", "messages": [1], "odd": {"x": None}, "seed": 11}
    assert (asked.path, asked.streams) == ("/chat/completions", False)


def test_a_streamed_call_always_asks_for_usage():
    asked = asked_of(call("completions", stream=True, stream_options={"x": 1}), model="served")
    assert asked.body["stream_options"] == {"x": 1, "include_usage": True}
    assert (asked.streams, asked.relays_usage) == (True, False)
    wanting = call("completions", stream=True, stream_options={"include_usage": True})
    assert asked_of(wanting, model="served").relays_usage


def test_embeddings_have_no_seed():
    asked = asked_of(call("embeddings", input="x", encoding_format="base64"), model="served")
    assert asked.body == {"model": "served", "input": "x", "encoding_format": "base64"}
    assert (asked.path, asked.streams) == ("/embeddings", False)
