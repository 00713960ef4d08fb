"""The sampler, part of what is signed: Gumbel-max in float64 with noise from Philox4x64-10.

For the token at absolute position p (prompt included, from 0) and seed s:

1. Kept set: ids sorted by logit descending, id ascending; z = logit / temperature in float64. With
   top_p < 1 the shortest prefix whose softmax mass reaches top_p (at least one id), else all.
2. Noise of id i: the first output word x of Philox4x64-10 with key (s, 0) and counter (i, p, 0, 0), words
   of 64 bits, least significant first; u = (floor(x / 2^12) + 1/2) · 2^-52; g = -ln(-ln u).
3. The id of the largest z + g, ties to the lower id. Temperature 0: the largest logit, ties to the lower id.

Every id has its own noise, so the choice does not depend on the order or size of the kept set.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hivemark.engine.tensors import Floats
from hivemark.errors import InternalError, InvalidError

Doubles = npt.NDArray[np.float64]

SEED_MAX: Final = 2**64 - 1
TEMPERATURE_MAX: Final = 2.0
STOPS_MAX: Final = 16
STOP_CHARACTERS_MAX: Final = 1024
WORDS_PER_BLOCK: Final = 4


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen and when to end; `InvalidError` names the member out of range."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= TEMPERATURE_MAX:
            raise _out_of_range("temperature", f"{self.temperature} is not 0 to {TEMPERATURE_MAX:g}")
        if not 0 < self.top_p <= 1:
            raise _out_of_range("top_p", f"{self.top_p} is not above 0 and at most 1")
        if self.max_tokens < 1:
            raise _out_of_range("max_tokens", f"{self.max_tokens} is not at least 1")
        if len(self.stop) > STOPS_MAX:
            raise _out_of_range("stop", f"{len(self.stop)} strings, more than {STOPS_MAX}")
        if not all(1 <= len(text) <= STOP_CHARACTERS_MAX for text in self.stop):
            raise _out_of_range("stop", f"a string is not 1 to {STOP_CHARACTERS_MAX} characters long")


def sample_token(logits: Floats, sampling: Sampling, *, seed: int, position: int) -> int:
    """The id to append at `position` (module docstring); raises `InternalError` for logits that are NaN."""
    if not np.isfinite(logits).all():
        raise InternalError("the model computed a logit that is not finite", code="logits_not_finite")
    if sampling.temperature == 0:
        return int(np.argmax(logits))
    kept, scaled = kept_set(logits, sampling)
    scores = scaled + gumbel_noise(seed=seed, position=position, vocabulary=len(logits))[kept]
    return int(kept[scores == scores.max()].min())


def kept_set(logits: Floats, sampling: Sampling) -> tuple[npt.NDArray[np.intp], Doubles]:
    """The ids that may be chosen, in step 1's order, and their z."""
    order = np.argsort(-logits, kind="stable")  # stable: equal logits stay in the order of their ids
    scaled = logits[order].astype(np.float64) / sampling.temperature
    if sampling.top_p == 1:
        return order, scaled
    mass = np.cumsum(np.exp(scaled - scaled[0]))
    count = 1 + int(np.searchsorted(mass, sampling.top_p * mass[-1], side="left"))
    return order[:count], scaled[:count]


def gumbel_noise(*, seed: int, position: int, vocabulary: int) -> Doubles:
    """Step 2's g for the ids 0 to `vocabulary` - 1.

    The counter's lowest word is the id, so the whole vocabulary is one run of consecutive blocks.
    """
    words = philox_blocks(key=seed, counter=position << 64, blocks=vocabulary)[:, 0]
    uniform = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    noise: Doubles = -np.log(-np.log(uniform))
    return noise


def philox_blocks(*, key: int, counter: int, blocks: int) -> npt.NDArray[np.uint64]:
    """Philox4x64-10 outputs for `counter`, `counter` + 1, …, shape [blocks, 4]; both arguments as integers
    of 128 and 256 bits whose lowest 64 bits are word 0."""
    # NumPy's generator adds one to its counter before each block.
    before_first = (counter - 1) % 2**256
    generator = np.random.Philox(key=key, counter=before_first)
    words: npt.NDArray[np.uint64] = generator.random_raw(blocks * WORDS_PER_BLOCK)
    return words.reshape(blocks, WORDS_PER_BLOCK)


def log_probabilities(logits: Floats) -> Doubles:
    """Natural logarithms of the softmax of the raw logits, in float64: what a token audit compares."""
    shifted = logits.astype(np.float64) - logits.max()
    result: Doubles = shifted - np.log(np.exp(shifted).sum())
    return result


def require_seed(seed: int) -> int:
    """`seed` if it fits in 64 bits without a sign; raises `InvalidError`."""
    if not 0 <= seed <= SEED_MAX:
        raise _out_of_range("seed", f"{seed} is not 0 to 2^64 - 1")
    return seed


def _out_of_range(field: str, message: str) -> InvalidError:
    return InvalidError(message, code="sampling_invalid", field=field)
