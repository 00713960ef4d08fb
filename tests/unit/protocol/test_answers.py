"""What the output of an answer in OpenAI's form is."""

import json

import pytest

from hivemark.protocol.answers import AnswerMalformed, Counted, ToolCalls, read_chunk, read_whole


def chunk(delta, **more):
    return json.dumps({"choices": [{"index": 0, "delta": delta, **more}]}).encode()


def test_the_content_of_choice_0_is_the_output():
    piece = read_chunk(chunk({"role": "assistant", "content": "né"}, finish_reason="stop"))
    assert (piece.text, piece.finish_reason, piece.has_choice) == ("né", "stop", True)


def test_the_text_of_a_completion_is_the_output():
    assert read_chunk(b'{"choices": [{"text": "abc", "index": 0}]}').text == "abc"


def test_reasoning_is_counted_and_no_output():
    piece = read_chunk(chunk({"reasoning_content": "hé"}))
    assert (piece.text, piece.unread_bytes) == ("", 3)


def test_usage_may_leave_completion_tokens_out():
    piece = read_chunk(b'{"choices": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}}')
    assert piece.usage == Counted(7, 0) and not piece.has_choice


def test_tool_calls_are_merged_from_their_pieces():
    calls = ToolCalls()
    for delta in (
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "sum"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "x", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
    ):
        calls.add(read_chunk(chunk(delta)).tool_calls)
    assert json.loads(calls.encode()) == [
        {"id": "c1", "type": "function", "function": {"name": "sum", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "x", "arguments": "{}"}},
    ]


def test_whole_tool_calls_without_index_keep_their_order():
    named = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in "ab"]
    calls = ToolCalls()
    body = {"choices": [{"index": 0, "message": {"content": None, "tool_calls": named}}]}
    calls.add(read_whole("chat.completions", json.dumps(body).encode()).tool_calls)
    assert [call["id"] for call in json.loads(calls.encode())] == ["a", "b"]


def test_no_tool_call_is_no_output():
    assert ToolCalls().encode() == ""


def test_embeddings_are_listed_by_index():
    data = [{"index": 1, "embedding": [0.5, 1]}, {"index": 0, "embedding": "AAAA"}]
    piece = read_whole("embeddings", json.dumps({"data": data, "usage": {"prompt_tokens": 2}}).encode())
    assert piece.text == '["AAAA",[0.5,1]]' and piece.usage == Counted(2, 0)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("chat.completions", b'{"choices": []}'),
        ("chat.completions", b"<html>"),
        ("chat.completions", b'{"choices": [{"index": 0, "message": {"content": 7}}]}'),
        ("embeddings", b'{"data": []}'),
        ("embeddings", b'{"data": [{"index": 0, "embedding": 7}]}'),
        ("embeddings", b'{"data": [{"embedding": [1]}, {"embedding": [2]}]}'),
        ("embeddings", b'{"data": [{"index": 0, "embedding": [1e300]}]}'),
    ],
)
def test_other_answers_are_malformed(endpoint, body):
    with pytest.raises(AnswerMalformed):
        read_whole(endpoint, body)
