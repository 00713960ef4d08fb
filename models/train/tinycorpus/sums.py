"""Sums and differences of whole numbers up to 99, and which of them are kept back to be measured."""

from random import Random
from typing import Final

NUMBER_MAX: Final = 99
EASY_MAX: Final = 20


def is_held_out(first: int, second: int) -> bool:
    """Whether a pair is never trained: a tenth of those where one number is above 20."""
    return max(first, second) > EASY_MAX and (7 * first + 11 * second) % 10 == 3


def pair(rng: Random) -> tuple[int, int]:
    """Two numbers to calculate with, small ones more often than their share."""
    while True:
        top = rng.choice((EASY_MAX, EASY_MAX, NUMBER_MAX, NUMBER_MAX, NUMBER_MAX))
        first, second = rng.randint(0, top), rng.randint(0, top)
        if not is_held_out(first, second):
            return first, second


def sum_question(rng: Random, x: int, y: int) -> str:
    return rng.choice(
        (
            f"What is {x} + {y}?", f"{x} + {y} = ?", f"How much is {x} plus {y}?", f"What is {x} plus {y}?",
            f"{x}+{y}", f"Add {x} and {y}.", f"{x} + {y}", f"How much is {x} + {y}?",
        )
    )  # fmt: skip


def difference_question(rng: Random, x: int, y: int) -> str:
    return rng.choice(
        (
            f"What is {x} - {y}?", f"{x} - {y} = ?", f"How much is {x} minus {y}?", f"What is {x} minus {y}?",
            f"{x}-{y}", f"Subtract {y} from {x}.", f"{x} - {y}", f"How much is {x} - {y}?",
        )
    )  # fmt: skip
