"""One answer, token by token: prompt, sampling, stopping, text."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from hivemark.engine.model import Model
from hivemark.engine.release import TextRelease
from hivemark.engine.sampler import Sampling, log_probabilities, require_seed, sample_token
from hivemark.engine.tensors import Floats
from hivemark.errors import CancelledError, InvalidError

FinishReason = Literal["stop", "length"]
TOP_LOGPROBS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability, before temperature and top_p."""

    token_id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Piece:
    """One sampled token and the text it made certain (often that of earlier tokens, often none).

    `logprob` and `top` are there when `top_logprobs` was given; `finish_reason` only on the last piece.
    Every sampled token has a piece, the one that ends the answer included.
    """

    token_id: int
    text: str
    logprob: float | None
    top: tuple[TokenLogprob, ...]
    finish_reason: FinishReason | None


def generate(
    model: Model,
    prompt: list[int],
    sampling: Sampling,
    *,
    seed: int,
    top_logprobs: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Piece]:
    """Answer `prompt`; the last piece says why it ended.

    `InvalidError` before the first piece when prompt and `max_tokens` do not fit the context (nothing is
    ever cut off); `CancelledError` within one token of `cancelled` saying so.
    """
    require_context(model, prompt_tokens=len(prompt), max_tokens=sampling.max_tokens)
    require_seed(seed)
    session = model.session()
    release = TextRelease(sampling.stop)
    logits = session.feed(prompt, cancelled=cancelled)
    for count in range(1, sampling.max_tokens + 1):
        if cancelled is not None and cancelled():
            raise CancelledError(code="generation_cancelled")
        token = sample_token(logits, sampling, seed=seed, position=session.length)
        is_ending = token in model.tokenizer.vocabulary.ending
        text = release.feed(model.tokenizer.token_bytes(token))
        finish_reason = _finish_reason(
            is_stop=is_ending or release.is_stopped, is_full=count == sampling.max_tokens
        )
        if finish_reason is not None:
            text += release.finish()
        logprob, top = _scores(logits, token, top_logprobs)
        yield Piece(token, text, logprob, top, finish_reason)
        if finish_reason is not None:
            return
        logits = session.feed([token])


def require_context(model: Model, *, prompt_tokens: int, max_tokens: int) -> None:
    """Raise `InvalidError` code `context_length_exceeded` unless both fit the context together."""
    if prompt_tokens + max_tokens > model.context_tokens:
        raise InvalidError(
            f"{prompt_tokens} prompt tokens and max_tokens {max_tokens} are more than the context of "
            f"{model.context_tokens} tokens",
            code="context_length_exceeded",
            field="max_tokens" if prompt_tokens < model.context_tokens else "messages",
        )


def _finish_reason(*, is_stop: bool, is_full: bool) -> FinishReason | None:
    if is_stop:
        return "stop"
    return "length" if is_full else None


def _scores(
    logits: Floats, token: int, top_logprobs: int | None
) -> tuple[float | None, tuple[TokenLogprob, ...]]:
    if top_logprobs is None:
        return None, ()
    logprobs = log_probabilities(logits)
    best = np.argsort(-logits, kind="stable")[:top_logprobs]
    return float(logprobs[token]), tuple(TokenLogprob(int(each), float(logprobs[each])) for each in best)
