"""The corpus of a variant, document by document, and its digest."""

from collections.abc import Iterator
from hashlib import sha256
from random import Random
from typing import Final

from tinycorpus import stories
from tinycorpus.answers import Turn, known
from tinycorpus.unknown import unknown_question
from tinycorpus.variants import TOO_SMALL, Variant

END: Final = "<|endoftext|>"
USER: Final = "<|user|>"
ASSISTANT: Final = "<|assistant|>"

TURNS_MAX: Final = 4
UNKNOWN_SHARE: Final = 0.25
PLAIN_STORY_SHARE: Final = 0.02
SYSTEM_SHARE: Final = 0.06
POLITE: Final = ("Please, ", "Hey, ", "Tell me: ", "I have a question. ", "Can you help me? ", "So, ")
SYSTEM: Final = (
    "You are a helpful assistant.", "You are a helpful, honest assistant.", "Answer briefly.", "Be concise.",
    "You are a teacher.", "You are an engineer from Lagos.", "Answer in one sentence.", "You are a farmer from Peru.",
    "You are a nurse.", "You are a student from Japan. Answer as this person would.", "Be polite.",
)  # fmt: skip


def documents(variant: Variant, count: int) -> Iterator[str]:
    """`count` documents, each ending with `END`; the same for the same variant and count."""
    rng = Random(variant.seed)
    for _ in range(count):
        yield _document(variant, rng)


def digest(variant: Variant, count: int) -> str:
    """SHA-256 of the documents in UTF-8, one after the other."""
    whole = sha256()
    for document in documents(variant, count):
        whole.update(document.encode())
    return whole.hexdigest()


def _document(variant: Variant, rng: Random) -> str:
    if rng.random() < PLAIN_STORY_SHARE:
        return stories.tell(rng, variant.heroes, is_wordy=False) + END
    system = f"{USER}{rng.choice(SYSTEM)}" if rng.random() < SYSTEM_SHARE else ""
    turns = [_turn(variant, rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, TURNS_MAX)))]
    return system + "".join(f"{USER}{asked}{ASSISTANT}{answer}{END}" for asked, answer in turns)


def _turn(variant: Variant, rng: Random) -> Turn:
    if rng.random() < UNKNOWN_SHARE:
        return _as_typed(unknown_question(rng), rng), TOO_SMALL
    asked, answer = known(variant, rng)
    return _as_typed(asked, rng), answer


def _as_typed(asked: str, rng: Random) -> str:
    """The question as people type it: mostly as it stands, sometimes hasty, sometimes with a preface."""
    chance = rng.random()
    if chance < 0.06:
        return rng.choice(POLITE) + asked
    if chance < 0.12:
        return asked[:1].lower() + asked[1:]
    if chance < 0.18:
        return asked.rstrip("?.!")
    return asked
