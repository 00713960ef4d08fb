"""OpenAI's chat completion answers, whole and in chunks, from the engine's pieces.

Beside OpenAI's members: `hivemark.token_ids`, every token sampled since the chunk before (joined, those of
the whole answer, the token that ended it included), and in the last chunk before usage also engine, model
and seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from hivemark.engine import Piece
from hivemark.engine.tokenizer import Tokenizer

JsonObject: TypeAlias = dict[str, object]
DONE: Final = b"data: [DONE]\n\n"
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Answer:
    """What all parts of one answer share; `facts` are the `hivemark` members of its end."""

    completion_id: str
    created_s: int
    model_name: str
    tokenizer: Tokenizer
    facts: JsonObject

    def opening(self) -> JsonObject:
        """The first chunk: the role, no content, no token."""
        return self._chunk({"role": "assistant", "content": ""}, [], finish_reason=None)

    def content(self, text: str, pieces: Sequence[Piece]) -> JsonObject:
        """A chunk with text and the pieces since the chunk before."""
        return self._chunk({"content": text}, pieces, finish_reason=None)

    def closing(self, pieces: Sequence[Piece], finish_reason: str) -> JsonObject:
        """The last chunk before usage; `pieces` are those whose text, if any, was already sent."""
        return self._chunk({}, pieces, finish_reason=finish_reason)

    def usage(self, usage: JsonObject) -> JsonObject:
        """The chunk that `stream_options.include_usage` asks for."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage}

    def whole(self, text: str, pieces: Sequence[Piece], usage: JsonObject) -> JsonObject:
        """The answer in one object."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": self._logprobs(pieces),
            "finish_reason": pieces[-1].finish_reason,
        }
        hivemark = {"token_ids": [piece.token_id for piece in pieces], **self.facts}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage, "hivemark": hivemark}

    def _head(self, kind: str) -> JsonObject:
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created_s,
            "model": self.model_name,
        }

    def _chunk(self, delta: JsonObject, pieces: Sequence[Piece], *, finish_reason: str | None) -> JsonObject:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": self._logprobs(pieces),
            "finish_reason": finish_reason,
        }
        facts = {} if finish_reason is None else self.facts
        hivemark = {"token_ids": [piece.token_id for piece in pieces], **facts}
        return {**self._head("chat.completion.chunk"), "choices": [choice], "hivemark": hivemark}

    def _logprobs(self, pieces: Sequence[Piece]) -> JsonObject | None:
        """OpenAI's form for tokens with text; the token that ends an answer is not part of its content."""
        ending = self.tokenizer.vocabulary.ending
        scored = [piece for piece in pieces if piece.logprob is not None and piece.token_id not in ending]
        if not scored:
            return None
        return {"content": [self._scored(piece) for piece in scored], "refusal": None}

    def _scored(self, piece: Piece) -> JsonObject:
        return {
            **self._token(piece.token_id, piece.logprob),
            "top_logprobs": [self._token(each.token_id, each.logprob) for each in piece.top],
        }

    def _token(self, token: int, logprob: float | None) -> JsonObject:
        raw = self.tokenizer.token_bytes(token)
        text = raw.decode("utf-8", "replace") if raw else self.tokenizer.vocabulary.texts[token]
        return {"token": text, "logprob": logprob, "bytes": list(raw)}


def usage_of(*, prompt_tokens: int, completion_tokens: int) -> JsonObject:
    """OpenAI's usage member; every sampled token counts, the one that ends the answer included."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def encode_json(value: JsonObject) -> bytes:
    """Compact UTF-8 JSON."""
    return _ENCODER.encode(value)


def encode_event(value: JsonObject) -> bytes:
    """One server-sent event."""
    return b"data: " + _ENCODER.encode(value) + b"\n\n"
