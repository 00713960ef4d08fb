"""What the scripted engine does with a request: pure functions of the request and its directives.

A directive stands in the last user message as `[[name=value …]]`, for example `[[fault=hang_middle]]` or
`[[answer=Paris, of course.]]`; later ones win over `POST /script`, which wins over the flags of the process.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from hivemark.errors import InvalidError

_DIRECTIVE: Final = re.compile(r"\[\[([a-z_]+)=(.*?)\]\]", re.DOTALL)
_PIECE: Final = re.compile(r"\S+\s*|\s+")
_WORDS: Final = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "haven", "indigo", "juniper")
VOCABULARY: Final = 65_536


class Fault(StrEnum):
    """How an answer goes wrong; the words say where in the stream it happens."""

    CRASH_BEFORE = "crash_before"
    CRASH_MIDDLE = "crash_middle"
    HANG_BEFORE = "hang_before"
    HANG_MIDDLE = "hang_middle"
    ERROR_STATUS = "error_status"
    WRONG_TYPE = "wrong_type"
    GARBAGE_JSON = "garbage_json"
    GARBAGE_SSE = "garbage_sse"
    GARBAGE_SHAPE = "garbage_shape"
    GARBAGE_UTF8 = "garbage_utf8"
    HALF_LINE = "half_line"
    CUT = "cut"
    NO_DONE = "no_done"
    NO_USAGE = "no_usage"
    HUGE_LINE = "huge_line"
    ENDLESS = "endless"


@dataclass(frozen=True, slots=True)
class Script:
    """How requests are answered. `answer` None: words drawn by the request's own digest, `words` of them.
    `tool_calls`: a JSON list of `{name, arguments}` that is called instead, when the request offers tools.

    `fault_times` counts the requests that meet the fault; None means all of them.
    """

    answer: str | None = None
    tool_calls: str | None = None
    words: int = 12
    first_token_delay_s: float = 0.0
    token_delay_s: float = 0.0
    fault: Fault | None = None
    fault_times: int | None = None
    status: int = 500


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The members of a chat request that the script looks at."""

    messages: tuple[tuple[str, str], ...]
    model: str
    max_tokens: int
    seed: int
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Pieces in order, each one token, and why they end."""

    pieces: tuple[str, ...]
    finish_reason: str
    prompt_tokens: int


def parse_chat_request(value: Any) -> ChatRequest:
    """The request of an OpenAI chat completion body; raises `InvalidError` naming the member."""
    if not isinstance(value, dict):
        raise InvalidError("expected an object", code="body_malformed")
    messages = _messages(value)
    stop = value.get("stop") or []
    options = value.get("stream_options") or {}
    return ChatRequest(
        messages=tuple((str(m.get("role")), str(m.get("content") or "")) for m in messages),
        model=str(value.get("model", "")),
        max_tokens=int(value.get("max_completion_tokens") or value.get("max_tokens") or 256),
        seed=int(value.get("seed") or 0),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=bool(value.get("stream")),
        include_usage=bool(options.get("include_usage")),
        raw=value,
    )


def _messages(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a chat, or the prompt of a completion as one message."""
    if "prompt" in value and "messages" not in value:
        return [{"role": "user", "content": str(value["prompt"])}]
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidError("expected a list of messages", code="body_malformed", field="messages")
    return messages


def called(script: Script, request: ChatRequest) -> list[dict[str, Any]]:
    """The tool calls that answer this request, in OpenAI's form; none unless it offers tools."""
    if script.tool_calls is None or not request.raw.get("tools"):
        return []
    return [
        {
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
        }
        for index, call in enumerate(json.loads(script.tool_calls))
    ]


def embedding(text: str) -> list[float]:
    """Eight numbers that float32 holds exactly, the same for the same text."""
    return [(byte - 128) / 128 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def direct(script: Script, request: ChatRequest) -> Script:
    """`script` with the directives of the request's last message applied."""
    return apply_members(script, dict(_DIRECTIVE.findall(request.messages[-1][1])))


def apply_members(script: Script, members: dict[str, Any]) -> Script:
    """`script` with some members replaced, given as text or JSON; raises `InvalidError` for other names."""
    changes: dict[str, Any] = {}
    for name, value in members.items():
        if name not in Script.__dataclass_fields__:
            raise InvalidError("the script has no such member", code="unknown_directive", field=name)
        changes[name] = _member(name, value)
    return replace(script, **changes)


def answer_to(script: Script, request: ChatRequest) -> Answer:
    """The same request under the same script always has the same answer."""
    text = script.answer if script.answer is not None else _words(request, script.words)
    cuts = [index for mark in request.stop if (index := text.find(mark)) >= 0]
    pieces = tuple(_PIECE.findall(text[: min(cuts)] if cuts else text))
    finish_reason = "length" if len(pieces) > request.max_tokens else "stop"
    prompt_tokens = sum(len(_PIECE.findall(content)) for _, content in request.messages)
    return Answer(pieces[: request.max_tokens], finish_reason, prompt_tokens)


def token_ids(pieces: Sequence[str]) -> list[int]:
    """A stable made-up token id per piece."""
    return [zlib.crc32(piece.encode()) % VOCABULARY for piece in pieces]


def _member(name: str, value: Any) -> Any:
    if value is None or value == "":
        return (
            None
            if name in ("answer", "tool_calls", "fault", "fault_times")
            else Script.__dataclass_fields__[name].default
        )
    kinds: dict[str, Any] = {
        "answer": str,
        "tool_calls": str,
        "fault": Fault,
        "first_token_delay_s": float,
        "token_delay_s": float,
    }
    try:
        return kinds.get(name, int)(value)
    except (TypeError, ValueError) as error:
        raise InvalidError(str(error), code="directive_malformed", field=name) from error


def _words(request: ChatRequest, count: int) -> str:
    basis = json.dumps([request.messages, request.model, request.seed], ensure_ascii=True).encode()
    chosen: list[str] = []
    for block in range(-(-count // 32)):
        chosen += [_WORDS[b % len(_WORDS)] for b in hashlib.sha256(basis + block.to_bytes(4, "big")).digest()]
    return " ".join(chosen[:count])
