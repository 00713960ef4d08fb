"""Reading answers: right or not, agreeing or not, and never invented."""

import pytest

from hivemark.analysis.answers import Answer, Measure, agreement, is_right, normalise_answer, summarise
from hivemark.errors import InvalidError
from hivemark.protocol.strictjson import JsonObject

FIVE: JsonObject = {"rule": "number", "value": 5}
PARIS: JsonObject = {"rule": "contains_any", "values": ["Paris"]}


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  The capital\n of France is  Paris. ", "the capital of france is paris"),
        ("“Straße!”", "strasse"),
        ("ﬁve", "five"),
        ("", ""),
        ("...", ""),
        ("a-p-p-l-e.", "a-p-p-l-e"),
    ],
)
def test_what_does_not_count_is_taken_away(text: str, normal: str) -> None:
    assert normalise_answer(text) == normal
    assert normalise_answer(normal) == normal


@pytest.mark.parametrize(
    ("rule", "text", "right"),
    [
        (FIVE, "2 + 3 = 5.", True),
        (FIVE, "5", True),
        (FIVE, "5.0", True),
        (FIVE, "2 + 3 = 15.", False),
        (FIVE, "5 is less than 6", False),
        (FIVE, "five", False),
        (FIVE, "It is -5", False),
        (FIVE, "8-5", True),
        ({"rule": "number", "value": -1}, "2 - 3 = −1.", True),
        ({"rule": "number", "value": 1234567}, "It is 1,234,567!", True),
        ({"rule": "number", "value": 0.1}, "0.10", True),
        (PARIS, "The capital of France is Paris.", True),
        (PARIS, "paris", True),
        (PARIS, "Parisian", False),
        (PARIS, "", False),
        ({"rule": "contains_any", "values": ["eight", "8"]}, "A spider has 8 legs.", True),
        ({"rule": "contains_any", "values": ["New Delhi"]}, "It is new\n delhi", True),
        ({"rule": "contains_any", "values": ["C++"]}, "I like C++", True),
        ({"rule": "equals", "value": "a-p-p-l-e"}, "A-P-P-L-E.", True),
        ({"rule": "equals", "value": "a-p-p-l-e"}, "It is a-p-p-l-e.", False),
        (None, "anything", None),
    ],
)
def test_an_answer_is_checked_by_its_rule(rule: JsonObject | None, text: str, right: bool | None) -> None:
    assert is_right(rule, text) is right


@pytest.mark.parametrize("rule", [{}, {"rule": "guess"}, {"rule": "contains_any", "values": [5]}])
def test_a_rule_that_is_none_is_refused(rule: JsonObject) -> None:
    with pytest.raises(InvalidError):
        is_right(rule, "text")


def test_agreement_counts_groups_that_two_regions_answered() -> None:
    answers = {
        "US": {"q1": "Paris.", "q2": "5", "q3": "alone"},
        "EU": {"q1": "paris", "q2": "6"},
        "ASIA": {"q1": "Paris", "q2": "5"},
    }
    assert agreement(answers) == 0.5
    assert agreement({"US": {"q1": "Paris"}}) is None
    assert agreement({}) is None


def answer(region: str, group: str, text: str | None, **members: object) -> Answer:
    values = {"model": "tiny", "completed": text is not None, "expected": None, "tokens_per_s": None}
    return Answer(region=region, group=group, text=text, **{**values, **members})


def test_a_summary_has_a_line_for_each_model_and_region() -> None:
    summary = summarise(
        [
            answer("US", "q1", "5", expected=FIVE, tokens_per_s=10.0),
            answer("US", "q2", "Rome", expected=PARIS, tokens_per_s=30.0),
            answer("EU", "q1", "5.", expected=FIVE, tokens_per_s=7.5),
            answer("EU", "q2", None, expected=PARIS),
            answer("US", "q1", "a story", model="other"),
        ]
    )
    us, eu, other = summary.lines
    assert [(line.model, line.region) for line in summary.lines] == [
        ("tiny", "US"),
        ("tiny", "EU"),
        ("other", "US"),
    ]
    assert (us.cells, us.completed) == (2, 2)
    assert us.right == Measure(0.5, 2)
    assert us.tokens_per_s == Measure(20.0, 2)
    assert us.agreement == eu.agreement == summary.agreement["tiny"] == Measure(1.0, 1)
    assert (eu.cells, eu.completed) == (2, 1)
    assert other.right.value is other.tokens_per_s.value is other.agreement.value is None
    assert other.right.reason == "no control question was answered"
    assert summary.agreement["other"].reason == "nothing was answered in two regions"


def test_the_agreement_of_a_region_counts_only_what_it_answered() -> None:
    summary = summarise(
        [
            answer("US", "q1", "a"),
            answer("EU", "q1", "a"),
            answer("US", "q2", "a"),
            answer("ASIA", "q2", "b"),
        ]
    )
    assert {line.region: line.agreement.value for line in summary.lines} == {
        "US": 0.5,
        "EU": 1.0,
        "ASIA": 0.0,
    }
    assert summary.agreement["tiny"] == Measure(0.5, 2)


def test_a_job_without_answers_has_an_empty_summary() -> None:
    assert summarise([]).lines == ()
