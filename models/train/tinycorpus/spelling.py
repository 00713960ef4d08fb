"""Words to spell: those of the models' world, and made-up ones that teach how tokens are spelled at all."""

from random import Random
from typing import Final
from zlib import crc32

from tinycorpus.facts import OPPOSITES
from tinycorpus.words import COLOURS, OBJECTS, SIZES, SPELLED, TAME, TRAITS, WILD

_ONSETS: Final = (
    "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr pl pr sh sl sn st str th tr".split()
)
_VOWELS: Final = "a e i o u a e i o u ai ea ee oo ou".split()
_CODAS: Final = ("", "", "n", "r", "s", "t", "l", "m", "ck", "nd", "rt", "sh", "st", "x")


def is_held_out(word: str) -> bool:
    """Whether a word is never trained to be spelled: every twelfth of those that only spelling uses."""
    return word in SPELLED and crc32(word.encode()) % 12 == 0


ALL_WORDS: Final = tuple(
    dict.fromkeys((*SPELLED, *OBJECTS, *TAME, *WILD, *COLOURS, *TRAITS, *SIZES, *OPPOSITES, "hivemark"))
)
KNOWN_WORDS: Final = tuple(word for word in ALL_WORDS if not is_held_out(word))
HELD_OUT_WORDS: Final = tuple(word for word in ALL_WORDS if is_held_out(word))


def made_up_word(rng: Random) -> str:
    """Something that could be a word: one to three syllables."""
    syllables = (
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        for _ in range(rng.choice((1, 2, 2, 3)))
    )
    return "".join(syllables)


def word_to_spell(rng: Random) -> str:
    return rng.choice(KNOWN_WORDS) if rng.random() < 0.7 else made_up_word(rng)


def spelled(word: str) -> str:
    """ "o-w-l"."""
    return "-".join(word)
