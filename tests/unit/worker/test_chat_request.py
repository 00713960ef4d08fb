"""Requests: OpenAI's members, nothing ignored."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.errors import InvalidError
from hivemark.worker.chat_request import ChatRequest, parse_chat_request


def raw(**members: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}).encode()


def test_null_is_the_default_everywhere() -> None:
    names = "stream stream_options temperature top_p max_tokens max_completion_tokens stop seed logprobs "
    names += "top_logprobs user n frequency_penalty presence_penalty logit_bias response_format tools"
    assert parse_chat_request(raw(**dict.fromkeys(names.split()))) == parse_chat_request(raw())


def test_what_asks_for_no_effect_is_taken() -> None:
    request = parse_chat_request(
        raw(n=1, presence_penalty=0, frequency_penalty=0.0, logit_bias={}, tools=[], user="u")
    )
    assert request.stops == ()
    assert parse_chat_request(raw(response_format={"type": "text"})).response_format is not None


def test_stop_and_the_token_limit_have_two_spellings() -> None:
    assert parse_chat_request(raw(stop="a")).stops == ("a",)
    assert parse_chat_request(raw(stop=["a", "b"])).stops == ("a", "b")
    assert parse_chat_request(raw(max_tokens=3)).token_limit == 3
    assert parse_chat_request(raw(max_completion_tokens=4)).token_limit == 4


def test_logprobs_alone_means_no_alternatives() -> None:
    assert parse_chat_request(raw(logprobs=True)).top_logprobs_wanted == 0
    assert parse_chat_request(raw(logprobs=True, top_logprobs=5)).top_logprobs_wanted == 5
    assert parse_chat_request(raw(logprobs=False)).top_logprobs_wanted is None


def test_half_a_surrogate_pair_in_a_message_is_refused() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800 x"}]}'
    with pytest.raises(InvalidError):
        parse_chat_request(body)


@given(st.text(min_size=1, max_size=12).filter(lambda name: "`" not in name and name.isprintable()))
def test_an_unknown_member_is_refused_by_its_name(name: str) -> None:
    if name in ChatRequest.__struct_fields__:
        return
    with pytest.raises(InvalidError) as caught:
        parse_chat_request(raw(**{name: None}))
    assert (caught.value.code, caught.value.field) == ("unknown_parameter", name)


@given(st.binary(max_size=200))
def test_no_body_does_more_than_a_refusal(body: bytes) -> None:
    with pytest.raises(InvalidError):
        parse_chat_request(body)
