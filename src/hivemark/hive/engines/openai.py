"""OpenAI's endpoints as a client calls them: lines in, chunks out, anything else is refused.

Shared by workers and attached servers. The parser is pure; `ask` is its thin shell over aiohttp.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from hivemark.hive.engines.base import Chunk
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.request import EffectiveRequest
from hivemark.protocol.answers import (
    ENDPOINT_PATHS,
    AnswerMalformed,
    Endpoint,
    Piece,
    read_chunk,
    read_whole,
)
from hivemark.protocol.receipt import Usage

LINE_BYTES_MAX: Final = 262_144
WHOLE_BYTES_MAX: Final = 8_388_608
ERROR_BYTES_MAX: Final = 65_536
END_TIMEOUT_S: Final = 0.2
_TRANSIENT_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_BUSY_STATUS: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is put to the engine: where below its base URL, the body, and how the answer comes back."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    streams: bool
    relays_usage: bool

    @property
    def path(self) -> str:
        """Below the engine's base URL."""
        return ENDPOINT_PATHS[self.endpoint]


class StreamParser:
    """Lines of an event stream into chunks; `done` once the server said so."""

    def __init__(self, *, relays_usage: bool = True) -> None:
        self.done = False
        self._relays_usage = relays_usage

    def feed(self, line: bytes) -> Chunk | None:
        """The chunk of one line, None for lines that carry none; raises `EngineFailure`."""
        line = line.rstrip(b"\r\n")
        if not line or line.startswith(b":"):
            return None
        if not line.startswith(b"data:"):
            raise _garbage("a line is no server-sent event")
        payload = line[5:].strip()
        if payload == b"[DONE]":
            self.done = True
            return None
        return self._as_chunk(_read(read_chunk, payload), payload)

    def _as_chunk(self, piece: Piece, payload: bytes) -> Chunk:
        if piece.error is not None:
            raise EngineFailure(Stage.STREAM, "engine_error", f"the engine broke off: {piece.error}")
        is_relayed = piece.has_choice or piece.usage is None or self._relays_usage
        return _chunk(piece, b"data: " + payload + b"\n\n" if is_relayed else b"")


def asked_of(request: EffectiveRequest, *, model: str) -> Asked:
    """What puts exactly this request to an engine that knows the model as `model`.

    The seed is the request's, never the engine's; usage is always asked for, since the receipt tells it.
    """
    if request.call is None:
        return Asked("chat.completions", _question_body(request, model), streams=True, relays_usage=False)
    call = request.call
    body = {**call.body, "model": model}
    if call.endpoint == "embeddings":
        return Asked(call.endpoint, body, streams=False, relays_usage=True)
    body["seed"] = request.seed
    if call.streams:
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
    return Asked(call.endpoint, body, streams=call.streams, relays_usage=call.wants_usage)


def _question_body(request: EffectiveRequest, model: str) -> dict[str, Any]:
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": request.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    return body


async def ask(
    http: aiohttp.ClientSession,
    base_url: str,
    request: EffectiveRequest,
    *,
    model: str,
    headers: Mapping[str, str],
) -> AsyncGenerator[Chunk, None]:
    """Ask, and yield chunks until the server is done; raises `EngineFailure` and nothing else of its own."""
    asked = asked_of(request, model=model)
    try:
        async with http.post(
            f"{base_url}{asked.path}",
            data=msgspec.json.encode(asked.body),
            headers={**headers, "Content-Type": "application/json"},
            allow_redirects=False,
        ) as response:
            await _require_answer(response, "text/event-stream" if asked.streams else "application/json")
            if asked.streams:
                async for chunk in _chunks(response, StreamParser(relays_usage=asked.relays_usage)):
                    yield chunk
                await _read_end(response)
            else:
                yield await _whole(response, asked.endpoint)
    except HttpProcessingError as error:
        raise _garbage(f"the answer is not HTTP: {error.message}") from error
    except aiohttp.ClientConnectorError as error:
        message = f"the engine does not answer: {error.strerror}"
        raise EngineFailure(Stage.REQUEST, "engine_unreachable", message) from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineFailure(
            Stage.STREAM, "connection_lost", f"the engine's connection broke: {type(error).__name__}"
        ) from error


async def _chunks(response: aiohttp.ClientResponse, parser: StreamParser) -> AsyncGenerator[Chunk, None]:
    while not parser.done:
        try:
            line = await response.content.readline()
        except LineTooLong as error:
            raise _garbage(f"a line is longer than {LINE_BYTES_MAX} bytes") from error
        if not line.endswith(b"\n"):
            raise EngineFailure(Stage.STREAM, "stream_ended", "the engine's stream ended before it was done")
        chunk = parser.feed(line)
        if chunk is not None:
            yield chunk


async def _whole(response: aiohttp.ClientResponse, endpoint: Endpoint) -> Chunk:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > WHOLE_BYTES_MAX:
            raise EngineFailure(
                Stage.STREAM,
                "output_too_large",
                f"the answer is longer than {WHOLE_BYTES_MAX} bytes",
                transient=False,
            )
    raw = bytes(body)
    piece = _read(partial(read_whole, endpoint), raw)
    if piece.error is not None:
        raise EngineFailure(Stage.STREAM, "engine_error", f"the engine broke off: {piece.error}")
    return _chunk(piece, raw)


def _chunk(piece: Piece, raw: bytes) -> Chunk:
    usage = piece.usage
    return Chunk(
        text=piece.text,
        raw=raw,
        tool_calls=piece.tool_calls,
        token_ids=piece.token_ids,
        finish_reason=piece.finish_reason,
        usage=None if usage is None else Usage(**asdict(usage)),
    )


def _read(read: Callable[[bytes], Piece], payload: bytes) -> Piece:
    try:
        return read(payload)
    except AnswerMalformed as error:
        raise _garbage(f"a chunk is {error.message}") from error


async def _read_end(response: aiohttp.ClientResponse) -> None:
    """The body ends right after `[DONE]`; having read that, the connection can be used again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_TIMEOUT_S):
            await response.content.read(1)


async def _require_answer(response: aiohttp.ClientResponse, content_type: str) -> None:
    if response.status != 200:
        raw = await response.content.read(ERROR_BYTES_MAX)
        status = response.status
        raise EngineFailure(
            Stage.REQUEST,
            "engine_busy" if status in _BUSY_STATUS else f"engine_status_{status}",
            f"the engine answered {status}: {_error_message(raw.decode('utf-8', 'replace'))}",
            transient=status in _TRANSIENT_STATUS,
            at_fault=status >= 500 and status not in _BUSY_STATUS,
            refusal=(status, raw) if 400 <= status < 500 and _is_error_object(raw) else None,
        )
    if response.content_type != content_type:
        raise _garbage(f"the answer is {response.content_type}, not {content_type}")


def _is_error_object(raw: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(raw)["error"], dict)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return False


def _error_message(text: str) -> str:
    """The message of OpenAI's error object, or the text as it came."""
    try:
        message = msgspec.json.decode(text.encode())["error"]["message"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return text[:200]
    return str(message)


def _garbage(message: str) -> EngineFailure:
    return EngineFailure(Stage.STREAM, "engine_garbage", message)
