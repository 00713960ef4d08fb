"""Question sets: what is shipped, and what a set file may not be."""

import json
from collections.abc import Callable

import pytest

from hivemark.errors import InvalidError
from hivemark.jobs.questions import (
    QuestionRegistry,
    inline_rule,
    load_question_sets,
    parse_question_set,
    question_set,
)
from hivemark.protocol.strictjson import JsonObject

BASICS_1_SHA256 = "e2036bcb691f036fc60256e77f54a0cb197990e87728ddbbb0d026b820ed5f17"
DEMO_1_SHA256 = "737373ed38f0e33b428f2ba5941e8f96dbaf37fd653cb670c78acdbdf44ca055"


def set_file(**members: object) -> bytes:
    question: JsonObject = {
        "id": "q",
        "text": "2 + 3 = ?",
        "category": "sums",
        "language": "en",
        "expected": {"rule": "number", "value": 5},
        "source": "here",
    }
    value: JsonObject = {"name": "s", "version": "1", "licence": "x", "description": ""}
    return json.dumps({**value, "questions": [{**question, **members}]}).encode()


def test_a_published_set_never_changes() -> None:
    digests = {(q.set_name, q.set_version): q.set_sha256 for q in load_question_sets().all()}
    assert digests == {("basics", "1"): BASICS_1_SHA256, ("demo", "1"): DEMO_1_SHA256}


def test_the_demo_asks_eight_questions_of_which_six_can_be_checked() -> None:
    asked = question_set(load_question_sets(), "demo")
    categories = {question.category for question in asked}
    assert categories == {"identity", "sums", "capitals", "facts", "story", "unknowable"}
    assert [question.expected is not None for question in asked] == [True] * 6 + [False] * 2


def test_a_set_nobody_wrote_has_no_questions() -> None:
    assert question_set(load_question_sets(), "demos") == ()


def test_an_unknown_question_names_the_field() -> None:
    with pytest.raises(InvalidError) as refused:
        load_question_sets().get("sum-2-plus-33", field="questions[3]")
    assert (refused.value.code, refused.value.field) == ("unknown_question", "questions[3]")


def test_the_digest_is_of_the_content_and_not_of_its_spelling() -> None:
    (one,) = parse_question_set(set_file())
    (other,) = parse_question_set(json.dumps(json.loads(set_file()), indent=4).encode())
    (changed,) = parse_question_set(set_file(text="2 + 4 = ?"))
    assert one == other
    assert one.set_sha256 != changed.set_sha256


def test_a_rule_is_kept_as_it_was_published() -> None:
    (question,) = parse_question_set(set_file(expected={"rule": "contains_any", "values": ["a", "b"]}))
    assert question.expected == {"rule": "contains_any", "values": ["a", "b"]}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"expected": {"rule": "guess"}}, "questions[0].expected.rule"),
        ({"expected": {"rule": "number", "value": "5"}}, "questions[0].expected.value"),
        ({"expected": {"rule": "contains_any", "values": []}}, "questions[0].expected.values"),
        ({"expected": {"rule": "equals", "value": ""}}, "questions[0].expected.value"),
        ({"id": "Q 1"}, "questions[0].id"),
        ({"answer": 5}, "questions[0].answer"),
        ({"text": ""}, "questions[0].text"),
    ],
)
def test_a_malformed_set_is_refused_by_field(members: JsonObject, field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse_question_set(set_file(**members))
    assert refused.value.field == field


def test_an_id_in_two_sets_is_refused() -> None:
    with pytest.raises(InvalidError, match="two places"):
        QuestionRegistry([*parse_question_set(set_file()), *parse_question_set(set_file(text="other"))])


@pytest.mark.parametrize(
    ("expected", "rule"),
    [
        ("5", {"rule": "number", "value": 5}),
        ("-2.5", {"rule": "number", "value": -2.5}),
        ("Paris", {"rule": "contains_any", "values": ["Paris"]}),
        ("5 bees", {"rule": "contains_any", "values": ["5 bees"]}),
    ],
)
def test_an_inline_answer_becomes_a_rule(expected: str, rule: JsonObject) -> None:
    assert inline_rule(expected) == rule


def test_unknown_ids_are_never_substituted(make_spec: Callable[..., object]) -> None:
    registry = load_question_sets()
    assert all(registry.get(question.id) is question for question in registry.all())
    with pytest.raises(InvalidError):
        registry.get("SUM-2-PLUS-3")
