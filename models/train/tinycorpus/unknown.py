"""Questions from outside the models' world, all with one answer.

So that the answer is given to questions nobody wrote here, these are many kinds of them: sciences, people,
places, orders, languages, nonsense, and above all near misses, which look like a known question but name
something unknown. `UNSEEN` in the quality benchmark is asked and never trained.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from tinycorpus import outside
from tinycorpus.answers import STORY_ASKED
from tinycorpus.spelling import made_up_word
from tinycorpus.words import article, sentence_case


def unknown_question(rng: Random) -> str:
    """A question that is answered with `TOO_SMALL`."""
    return rng.choice(_MAKERS)(rng)


def _thing(rng: Random) -> str:
    word = made_up_word(rng) if rng.random() < 0.12 else rng.choice(outside.THINGS)
    return rng.choice((f"the {word}", article(word), article(word), f"my {word}"))


def _subject(rng: Random) -> str:
    return rng.choice(outside.SUBJECTS)


def _person(rng: Random) -> str:
    if rng.random() < 0.35:
        return f"{made_up_word(rng).title()} {made_up_word(rng).title()}"
    return rng.choice(outside.PEOPLE)


def _place(rng: Random) -> str:
    return made_up_word(rng).title() if rng.random() < 0.3 else rng.choice(outside.PLACES)


def _filled(rng: Random) -> str:
    """One of the written patterns with its gaps filled."""
    pattern = rng.choice(outside.PATTERNS)
    while "{" in pattern:
        for gap, fill in _GAPS.items():
            pattern = pattern.replace(gap, fill(rng), 1)
    return sentence_case(pattern)


def _composed(rng: Random) -> str:
    """A question put together from an opener, somebody or something, and what it does."""
    opener = rng.choice(outside.OPENERS)
    subject = rng.choice((_thing, _subject, _person, _place, _plural))(rng)
    tail = rng.choice(outside.TAILS)
    return f"{opener} {subject} {tail}".strip() + rng.choice(("?", "?", "?", ""))


def _plural(rng: Random) -> str:
    return rng.choice(outside.THINGS) + "s"


def _near_miss(rng: Random) -> str:
    """What looks like a question of the models' world and is none."""
    word = rng.choice(outside.THINGS) if rng.random() < 0.6 else made_up_word(rng)
    country = rng.choice(outside.COUNTRIES) if rng.random() < 0.6 else made_up_word(rng).title()
    big, other = rng.randint(100, 9999), rng.randint(0, 999)
    small, times = rng.randint(2, 99), rng.randint(2, 99)
    return rng.choice(
        (
            f"What is the capital of {country}?", f"Which city is the capital of {country}?",
            f"Name the capital of {country}.", f"What is the capital of {_thing(rng)}?",
            f"How many people live in {rng.choice((country, _place(rng)))}?",
            f"What is the currency of {rng.choice((country, _place(rng)))}?",
            f"Who is the president of {rng.choice((country, _place(rng)))}?",
            f"What language is spoken in {country}?", f"Where is {country}?",
            f"What is the opposite of {word}?", f"Give me the opposite of {word}.",
            f"What color is {_thing(rng)}?", f"Which color is {_subject(rng)}?",
            f"What does {article(word)} say?", f"What sound does {article(word)} make?",
            f"How many legs does {article(word)} have?", f"How many {word}s are in {article(made_up_word(rng))}?",
            f"What day comes after {word}?", "What day is it today?", f"What month comes before {word}?",
            f"What is {big} + {other}?", f"{other} + {big} = ?", f"How much is {big} minus {other}?",
            f"What is {small} times {times}?", f"{small} * {times} = ?", f"How much is {small} divided by {times}?",
            f"What is {small} x {times}?", f"What is the square root of {rng.choice((small, big))}?",
            f"What is {small} percent of {big}?", f"What is {small} to the power of {times}?",
            f"Is {big} a prime number?", f"Count to {big}.", f"What is {word} plus {made_up_word(rng)}?",
            rng.choice(STORY_ASKED).format(article(word)), rng.choice(STORY_ASKED).format(_subject(rng)),
            rng.choice(STORY_ASKED).format(_person(rng)),
            f"Spell the name of {_person(rng)}'s {word}.", f"What rhymes with {word}?",
            f"How many letters are in the word {word}?", f"What is {article(word)} made of?",
            f"Who is {_person(rng)}?", f"Who was {_person(rng)}?", f"What is {_subject(rng)}?",
            f"What is {article(word)}?", f"Where does {article(word)} come from?", f"What do {word}s make?",
            f"Who is the mascot of {_place(rng)}?", f"How many {word}s are there?", f"Who made {_thing(rng)}?",
            f"Are you {article(word)}?", f"What is the name of {_thing(rng)}?", f"How big is {_thing(rng)}?",
        )
    )  # fmt: skip


def _nonsense(rng: Random) -> str:
    """Words in no order, some of them no words at all."""
    words = [
        made_up_word(rng) if rng.random() < 0.4 else rng.choice((*outside.THINGS, *outside.LITTLE_WORDS))
        for _ in range(rng.randint(1, 8))
    ]
    return " ".join(words) + rng.choice(("?", ".", "", "!"))


def _foreign(rng: Random) -> str:
    return rng.choice(outside.FOREIGN)


_GAPS: Final[dict[str, Callable[[Random], str]]] = {
    "{thing}": _thing,
    "{things}": _plural,
    "{subject}": _subject,
    "{person}": _person,
    "{place}": _place,
    "{country}": lambda rng: rng.choice(outside.COUNTRIES),
    "{language}": lambda rng: rng.choice(outside.LANGUAGES),
    "{year}": lambda rng: str(rng.randint(1000, 2099)),
    "{number}": lambda rng: str(rng.randint(2, 500)),
    "{verb}": lambda rng: rng.choice(outside.VERBS),
}
_MAKERS: Final = (*[_filled] * 8, *[_composed] * 5, *[_near_miss] * 8, _nonsense, _foreign)
