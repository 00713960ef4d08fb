"""Chatting over `/v1` of a coordinator, or of any server that speaks OpenAI's API.

An answer is an async context manager: leaving it before its end closes the connection, and with that the
worker stops. Errors are the closed set of `hivemark.errors`, also those that come in the middle of a stream.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

from hivemark.client.chatstream import ChatStream, Piece
from hivemark.client.problems import error_of_openai, openai_error
from hivemark.client.transport import OpenAnswer, Transport
from hivemark.client.views import decode_answer
from hivemark.errors import BadUpstreamError, InvalidError

COMPLETIONS: Final = "/v1/chat/completions"
MODELS: Final = "/v1/models"
EXECUTION_HEADER: Final = "Hivemark-Execution"
JOB_HEADER: Final = "Hivemark-Job"
SILENCE_S: Final = 300.0  # a coordinator sends comments meanwhile; an engine that loads a model does not
ANSWER_BYTES_MAX: Final = 64 * 1_048_576
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What is asked; members that are None are left out, so that the server's own defaults hold."""

    model: str
    messages: Sequence[Message]
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None

    def encode(self, *, stream: bool) -> bytes:
        """The body as it is posted; raises `InvalidError` for what is no text."""
        value: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": each.role, "content": each.content} for each in self.messages],
        }
        for name in ("temperature", "max_tokens", "seed"):
            if (given := getattr(self, name)) is not None:
                value[name] = given
        if stream:
            value |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            return json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise InvalidError("the question is not UTF-8 text", code="text_malformed") from error


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer while it streams: iterate over its pieces; `stream` then knows how it ended."""

    execution: str | None
    job: str | None
    body: bytes
    stream: ChatStream
    _portions: AsyncIterator[bytes] = field(repr=False)

    async def pieces(self) -> AsyncIterator[Piece]:
        """The text as it comes; raises when the answer breaks off."""
        async for portion in self._portions:
            for piece in self.stream.feed(portion):
                yield piece
        self.stream.close()


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...]


class ChatClient:
    """Talks to `/v1` of one server; use it as an async context manager.

    `base_url` has no path; `api_key` is sent as a bearer token.
    """

    def __init__(self, base_url: str, *, api_key: str | None = None) -> None:
        self._http = Transport(base_url, admin_token=api_key)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @property
    def base_url(self) -> str:
        """The server's address without a trailing slash."""
        return self._http.base_url

    async def models(self) -> tuple[str, ...]:
        """The names of the models on offer, in the server's order."""
        listed = decode_answer(await self._http.request("GET", MODELS), _Models)
        return tuple(model.id for model in listed.data)

    @asynccontextmanager
    async def ask(self, request: ChatRequest) -> AsyncIterator[Answer]:
        """Ask, and read the answer while it is made."""
        body = request.encode(stream=True)
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        async with self._http.post_open(
            COMPLETIONS, body=body, headers=headers, silence_s=SILENCE_S
        ) as answer:
            _require_type(answer, "text/event-stream")
            yield Answer(
                execution=answer.headers.get(EXECUTION_HEADER),
                job=answer.headers.get(JOB_HEADER),
                body=body,
                stream=ChatStream(),
                _portions=answer.portions,
            )

    async def ask_whole(self, request: ChatRequest) -> dict[str, Any]:
        """The server's answer in one piece, as it gave it; `hivemark` names its execution and its job."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        body = request.encode(stream=False)
        async with self._http.post_open(
            COMPLETIONS, body=body, headers=headers, silence_s=SILENCE_S
        ) as answer:
            _require_type(answer, "application/json")
            raw = bytearray()
            async for portion in answer.portions:
                raw += portion
                if len(raw) > ANSWER_BYTES_MAX:
                    raise BadUpstreamError(
                        f"an answer of more than {ANSWER_BYTES_MAX} bytes", code="answer_too_large"
                    )
        if (told := openai_error(bytes(raw))) is not None:
            raise error_of_openai(told)
        value = decode_answer(bytes(raw), dict[str, Any])
        ids = {"execution": answer.headers.get(EXECUTION_HEADER), "job": answer.headers.get(JOB_HEADER)}
        known = value.get("hivemark")
        value["hivemark"] = (known if isinstance(known, dict) else {}) | ids
        return value


def _require_type(answer: OpenAnswer, wanted: str) -> None:
    told = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if told != wanted:
        raise BadUpstreamError(
            f"expected {wanted}, got {told or 'no content type'}",
            code="answer_malformed",
            hint="is that the address of a coordinator or of an OpenAI-compatible server?",
        )
