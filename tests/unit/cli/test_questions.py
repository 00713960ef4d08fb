"""What `--question` is taken to mean is never a guess."""

import pytest

from hivemark.cli.questions import choose_questions
from hivemark.client.views import Question
from hivemark.errors import InvalidError

KNOWN = (
    Question(id="sum-2-plus-3", text="What is 2 + 3?", set_name="basics"),
    Question(id="capital-peru", text="Name the capital of Peru.", set_name="basics"),
    Question(id="other", text="?", set_name="others"),
)


def test_an_id_stays_an_id_and_a_set_becomes_its_ids() -> None:
    assert choose_questions(["other"], KNOWN) == ("other",)
    assert choose_questions(["basics"], KNOWN) == ("sum-2-plus-3", "capital-peru")


def test_a_question_named_alone_and_by_its_set_is_asked_once() -> None:
    assert choose_questions(["basics", "capital-peru", "other"], KNOWN) == (
        "sum-2-plus-3",
        "capital-peru",
        "other",
    )


def test_a_sentence_is_a_question_of_its_own() -> None:
    text = "Was ist <&> 🐝 שלום?"
    assert choose_questions(["other", text], KNOWN) == ("other", {"id": "own-2", "text": text})


def test_a_misspelt_id_is_no_question() -> None:
    with pytest.raises(InvalidError) as caught:
        choose_questions(["sum-2-plus-4"], KNOWN)
    assert (caught.value.code, caught.value.hint) == ("unknown_question", "hivemark run --list-questions")
