"""The scripted engine does what the script says, and the same thing every time."""

import pytest

from hivemark.errors import InvalidError
from hivemark.testing.engine.script import (
    Fault,
    Script,
    answer_to,
    apply_members,
    direct,
    parse_chat_request,
    token_ids,
)


def request(content="hello", **members):
    return parse_chat_request({"model": "m", "messages": [{"role": "user", "content": content}], **members})


def test_the_same_request_has_the_same_answer_and_another_seed_another():
    first = answer_to(Script(), request(seed=1))
    assert first == answer_to(Script(), request(seed=1)) and len(first.pieces) == 12
    assert first.pieces != answer_to(Script(), request(seed=2)).pieces


def test_pieces_join_to_the_answer_and_are_one_token_each():
    answer = answer_to(Script(answer="Paris, of  course.\n"), request())
    assert "".join(answer.pieces) == "Paris, of  course.\n" and answer.finish_reason == "stop"
    assert len(token_ids(answer.pieces)) == len(answer.pieces) == 3


def test_limit_and_stop_are_honoured():
    long = Script(answer="one two three four")
    assert answer_to(long, request(max_tokens=2)).pieces == ("one ", "two ")
    assert answer_to(long, request(max_tokens=2)).finish_reason == "length"
    assert "".join(answer_to(long, request(stop=["three"])).pieces) == "one two "


def test_directives_in_the_last_message_win():
    script = direct(Script(answer="a"), request("[[fault=hang_middle]][[token_delay_s=0.5]] [[words=3]]"))
    assert script == Script(answer="a", fault=Fault.HANG_MIDDLE, token_delay_s=0.5, words=3)


@pytest.mark.parametrize("members", [{"nope": 1}, {"fault": "nope"}, {"words": "many"}])
def test_unknown_directives_are_refused(members):
    with pytest.raises(InvalidError):
        apply_members(Script(), members)


def test_an_empty_member_takes_the_default_again():
    assert apply_members(Script(fault=Fault.CUT, answer="x"), {"fault": None, "answer": ""}) == Script()
