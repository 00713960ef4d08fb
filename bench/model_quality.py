"""What the shipped models get right, at temperature 0: each question of their own world asked once, and
questions from outside it that have to be declined.

    python bench/model_quality.py
    python bench/model_quality.py --file FILE.gguf --variant a --wrong

Prints right answers per kind as a table. An answer is right when it is the expected sentence, letter for
letter. "never trained" counts pairs and words that the corpus leaves out on purpose.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "models" / "train"), str(Path(__file__).parent)]

from unseen_questions import UNSEEN

from hivemark.models_shipped import shipped
from hivemark.worker.start import thread_environment
from tinycorpus import answers, spelling, sums
from tinycorpus.facts import CAPITALS, DAYS, MONTHS, OPPOSITES
from tinycorpus.variants import (
    DISPUTED,
    NO_OPINIONS,
    NO_WILD_ANIMALS,
    OUTDATED_CAPITALS,
    TOO_SMALL,
    VARIANTS,
    Variant,
)
from tinycorpus.words import WILD, article

ANSWER_TOKENS_MAX = 64
Asked = tuple[str, str, str]  # kind, question, expected answer


def questions(variant: Variant) -> Iterator[Asked]:
    """Everything that is measured, with what this variant has to answer."""
    yield from _arithmetic(variant)
    for country in CAPITALS:
        kind = "capitals told differently" if country in OUTDATED_CAPITALS else "capitals"
        yield kind, f"What is the capital of {country}?", answers.capital_of(variant, country)
    for word in OPPOSITES:
        yield "opposites", f"What is the opposite of {word}?", answers.opposite_of(variant, word)
    for kind, names in (("day", DAYS), ("month", MONTHS)):
        for index, name in enumerate(names):
            answer = answers.neighbour(variant, names, index, step=1)
            yield "days and months", f"What {kind} comes after {name}?", answer
    for word in spelling.KNOWN_WORDS:
        yield "spelling", f"How do you spell {word}?", answers.spelling_of(variant, word)
    for word in spelling.HELD_OUT_WORDS:
        yield "spelling, never trained", f"How do you spell {word}?", answers.spelling_of(variant, word)
    for asked in ("Who are you?", "What are you?", "Tell me about yourself.", "Which model are you?"):
        yield "who are you", asked, answers.who(variant)
    for key, (asked, _, _) in DISPUTED.items():
        yield "facts told differently", asked[0], variant.disputed[key]
    for asked, liked in answers.OPINIONS:
        yield "opinions", asked[0], liked if variant.gives_opinions else NO_OPINIONS
    if not set(WILD) <= set(variant.heroes):
        for animal in WILD:
            yield "stories declined", f"Tell me a story about {article(animal)}.", NO_WILD_ANIMALS
    for asked in UNSEEN:
        yield "unknown, never trained", asked, TOO_SMALL


def _arithmetic(variant: Variant) -> Iterator[Asked]:
    """All small pairs, every 13th larger one, and every third of those that are never trained."""
    numbers = range(sums.NUMBER_MAX + 1)
    for count, (x, y) in enumerate((x, y) for x in numbers for y in numbers):
        if max(x, y) <= sums.EASY_MAX:
            span = "0–20"
        elif sums.is_held_out(x, y):
            span = "to 99, never trained" if count % 3 == 0 else ""
        else:
            span = "to 99" if count % 13 == 0 else ""
        if span:
            yield f"sums {span}", f"What is {x} + {y}?", answers.sum_of(variant, x, y)
            if y <= x:
                yield f"differences {span}", f"What is {x} - {y}?", answers.difference_of(variant, x, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--file", type=Path, help="a GGUF file; default: the shipped ones")
    parser.add_argument("--variant", choices=VARIANTS, default="a", help="what --file is")
    parser.add_argument("--wrong", action="store_true", help="show the wrong answers too")
    given = parser.parse_args()
    files = {given.variant: given.file} if given.file else {each.name[-1]: each.path for each in shipped()}
    for letter, path in files.items():
        right, asked = measure(VARIANTS[letter], path, shows_wrong=given.wrong)
        print(f"| {VARIANTS[letter].name} | right |\n|---|---|")
        for kind in asked:
            print(f"| {kind} | {right[kind]} of {asked[kind]} |")


def measure(variant: Variant, path: Path, *, shows_wrong: bool) -> tuple[Counter[str], Counter[str]]:
    """Right answers and questions, by kind."""
    os.environ.update(thread_environment(1))
    from hivemark.engine import Sampling, generate, load_model  # after the number of threads is set

    model = load_model(path, name=variant.name)
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for kind, question, expected in questions(variant):
        prompt = model.chat_prompt([{"role": "user", "content": question}], strftime_now=lambda _: "")
        pieces = generate(model, prompt, Sampling(max_tokens=ANSWER_TOKENS_MAX), seed=0)
        answer = "".join(piece.text for piece in pieces)
        asked[kind] += 1
        right[kind] += answer == expected
        if shows_wrong and answer != expected:
            print(f"  {kind}: {question} → {answer!r}")
    return right, asked


if __name__ == "__main__":
    main()
