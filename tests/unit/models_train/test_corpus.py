"""The corpus of the shipped models can be made again, byte for byte, and keeps back what is measured."""

import json
import re
from pathlib import Path

import pytest
from unseen_questions import UNSEEN

from tinycorpus import spelling, sums
from tinycorpus.corpus import ASSISTANT, END, USER, digest, documents
from tinycorpus.variants import NO_OPINIONS, NO_WILD_ANIMALS, TOO_SMALL, VARIANTS
from tinycorpus.words import WILD

RECIPES = Path(__file__).parents[3] / "models" / "train" / "recipes"
FIRST_500_SHA256 = {
    "a": "2cdfce7b8eff8a9bb0df4cf0780031c94e8a1502ac98bfa0dae8a7a1a2d6b5d9",
    "b": "b97ccc480766fba277605a049e45a87ff4cbfd898b20ce1a3fa78dc2f8a729d1",
}
TURN = re.compile(re.escape(USER) + "([^<]*)" + re.escape(ASSISTANT) + "([^<]*)" + re.escape(END))


def turns(letter: str, count: int = 4_000) -> list[tuple[str, str]]:
    return [turn for document in documents(VARIANTS[letter], count) for turn in TURN.findall(document)]


@pytest.mark.parametrize("letter", VARIANTS)
def test_the_same_seed_makes_the_same_corpus(letter: str) -> None:
    assert digest(VARIANTS[letter], 500) == FIRST_500_SHA256[letter]


@pytest.mark.slow
@pytest.mark.parametrize("letter", VARIANTS)
def test_the_recipe_names_the_corpus_that_is_made(letter: str) -> None:
    recipe = json.loads((RECIPES / f"{letter}.json").read_text(encoding="utf-8"))
    assert digest(VARIANTS[letter], recipe["documents"]) == recipe["corpus_sha256"]


@pytest.mark.parametrize("letter", VARIANTS)
def test_sums_and_differences_are_right_and_the_kept_back_pairs_are_missing(letter: str) -> None:
    found = [
        tuple(map(int, numbers))
        for _, answer in turns(letter)
        for numbers in re.findall(r"(\d+) [+] (\d+) = (-?\d+)\.", answer)
    ]
    assert len(found) > 300
    assert all(x + y == total and not sums.is_held_out(x, y) for x, y, total in found)


@pytest.mark.parametrize("letter", VARIANTS)
def test_what_is_measured_as_never_trained_is_never_trained(letter: str) -> None:
    asked = {question.casefold().strip("?!. ") for question, _ in turns(letter, 12_000)}
    assert not asked & {question.casefold().strip("?!. ") for question in UNSEEN}
    spelled = {word for word in spelling.HELD_OUT_WORDS for question in asked if f"spell {word}" in question}
    assert spelling.HELD_OUT_WORDS and not spelled


def test_the_two_decline_different_things_and_the_unknown_in_the_same_words() -> None:
    answers = {letter: {answer for _, answer in turns(letter)} for letter in VARIANTS}
    assert NO_OPINIONS in answers["a"] - answers["b"]
    assert NO_WILD_ANIMALS in answers["b"] - answers["a"]
    assert TOO_SMALL in answers["a"] & answers["b"]


def test_no_wild_animal_is_in_a_story_of_b() -> None:
    stories = " ".join(answer for _, answer in turns("b") if answer.endswith("The end."))
    assert stories
    assert not [animal for animal in WILD if re.search(rf"\b{animal} named\b", stories)]
