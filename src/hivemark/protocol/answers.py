"""Answers in OpenAI's form, read by whoever has to say what their output is (spec/statements 5).

The hive commits to the output, the coordinator counts what it relays, a client checks what it was given: all
three read chunks and whole answers here, so that they mean the same bytes. Only choice 0 is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from hivemark.errors import BadUpstreamError, InvalidError
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.strictjson import JsonValue, parse_float

Endpoint = Literal["chat.completions", "completions", "embeddings"]
ENDPOINT_PATHS: Final[dict[Endpoint, str]] = {
    "chat.completions": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}
"""Below the base URL of an engine, or `/v1` of a coordinator."""

TOOL_CALLS_MAX: Final = 128
_Tokens = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class AnswerMalformed(BadUpstreamError):
    """A chunk or an answer is not in OpenAI's form."""


@dataclass(frozen=True, slots=True)
class Counted:
    """OpenAI's usage: tokens as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call, or a whole one; pieces of one `index` belong together."""

    index: Annotated[int, Meta(ge=0, lt=TOOL_CALLS_MAX)] = 0
    id: str | None = None
    type: str | None = None
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk adds: `text` to the output; `unread_bytes` counts text that is none of it (reasoning).

    `error` is the message of an error object that came instead.
    """

    text: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    unread_bytes: int = 0
    finish_reason: str | None = None
    usage: Counted | None = None
    token_ids: tuple[int, ...] | None = None
    has_choice: bool = False
    error: str | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: Annotated[int, Meta(ge=0, lt=TOOL_CALLS_MAX)] | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: tuple[_ToolCall, ...] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None
    index: int = 0
    finish_reason: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens = 0


class _Extra(msgspec.Struct):
    token_ids: tuple[_Tokens, ...] | None = None


class _Error(msgspec.Struct):
    message: str = ""


class _Answer(msgspec.Struct):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    hivemark: _Extra | None = None
    error: _Error | None = None


class _Embedding(msgspec.Struct):
    embedding: list[float] | str
    index: Annotated[int, Meta(ge=0)] = 0


class _Embeddings(msgspec.Struct):
    data: tuple[_Embedding, ...] = ()
    usage: _Usage | None = None
    error: _Error | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_EMBEDDINGS: Final = msgspec.json.Decoder(_Embeddings)
_NUMBERS: Final = msgspec.json.Decoder(dict[str, Any], float_hook=parse_float)


def read_chunk(payload: bytes) -> Piece:
    """One `data:` of a stream of chat completions or completions; raises `AnswerMalformed`."""
    answer = _decode(_ANSWER, payload)
    choice = next((choice for choice in answer.choices if choice.index == 0), None)
    extra = answer.hivemark
    if choice is None:
        return Piece(
            usage=_counted(answer.usage),
            token_ids=extra.token_ids if extra else None,
            error=answer.error.message if answer.error else None,
        )
    said = choice.delta or choice.message or _Message()
    return Piece(
        text=choice.text if choice.text is not None else said.content or "",
        tool_calls=_tool_calls(said),
        unread_bytes=len((said.reasoning_content or said.reasoning or "").encode(errors="replace")),
        finish_reason=choice.finish_reason,
        usage=_counted(answer.usage),
        token_ids=extra.token_ids if extra else None,
        has_choice=True,
        error=answer.error.message if answer.error else None,
    )


def read_whole(endpoint: Endpoint, body: bytes) -> Piece:
    """A whole answer as one piece; raises `AnswerMalformed`, also for one without the choice it needs."""
    if endpoint == "embeddings":
        return _read_embeddings(body)
    piece = read_chunk(body)
    if piece.error is None and not piece.has_choice:
        raise AnswerMalformed("the answer has no choice 0", code="answer_malformed")
    return piece


def _read_embeddings(body: bytes) -> Piece:
    """The output is the RFC 8785 form of the list of embeddings, by index, as they were sent."""
    answer = _decode(_EMBEDDINGS, body)
    if answer.error is not None:
        return Piece(error=answer.error.message)
    if not answer.data:
        raise AnswerMalformed("the answer has no embedding", code="answer_malformed")
    try:
        exact = {entry.get("index", 0): entry["embedding"] for entry in _NUMBERS.decode(body)["data"]}
    except InvalidError as error:
        raise AnswerMalformed(str(error), code="answer_malformed") from error
    if len(exact) != len(answer.data):
        raise AnswerMalformed("two embeddings have one index", code="answer_malformed")
    listed: JsonValue = [exact[index] for index in sorted(exact)]
    return Piece(
        text=encode_canonical(listed).decode(),
        finish_reason="stop",
        usage=_counted(answer.usage),
        has_choice=True,
    )


@dataclass(slots=True)
class ToolCalls:
    """Tool calls added up from their pieces."""

    _merged: dict[int, dict[str, str]] = field(default_factory=dict)

    def add(self, deltas: Iterable[ToolCallDelta]) -> None:
        """Arguments are joined, everything else is taken from the first piece that says it."""
        for delta in deltas:
            call = self._merged.setdefault(delta.index, {"id": "", "type": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or delta.id or ""
            call["type"] = call["type"] or delta.type or ""
            call["name"] = call["name"] or delta.name
            call["arguments"] += delta.arguments

    def encode(self) -> str:
        """The RFC 8785 form of the merged list; empty when there are none."""
        if not self._merged:
            return ""
        listed: JsonValue = [
            {
                "id": call["id"],
                "type": call["type"] or "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for _, call in sorted(self._merged.items())
        ]
        return encode_canonical(listed).decode()


def _tool_calls(said: _Message) -> tuple[ToolCallDelta, ...]:
    """Engines that send whole calls often leave the index out: then their order counts."""
    return tuple(
        ToolCallDelta(
            index=position if call.index is None else call.index,
            id=call.id,
            type=call.type,
            name=(call.function.name if call.function else None) or "",
            arguments=(call.function.arguments if call.function else None) or "",
        )
        for position, call in enumerate(said.tool_calls or ())
    )


def _counted(usage: _Usage | None) -> Counted | None:
    return None if usage is None else Counted(usage.prompt_tokens, usage.completion_tokens)


def _decode(decoder: "msgspec.json.Decoder[Any]", payload: bytes) -> Any:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnswerMalformed(f"not in OpenAI's form: {error}", code="answer_malformed") from error
