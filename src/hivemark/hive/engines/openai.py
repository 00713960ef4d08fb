"""OpenAI's streamed chat completions as a client reads them: lines in, chunks out, anything else is refused.

Shared by workers and attached servers. The parser is pure; `stream_chat` is its thin shell over aiohttp.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Final

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from msgspec import Meta

from hivemark.hive.engines.base import Chunk
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.request import EffectiveRequest
from hivemark.protocol.receipt import Usage
from hivemark.protocol.shape import Count

LINE_BYTES_MAX: Final = 262_144
ERROR_BYTES_MAX: Final = 4_096
END_TIMEOUT_S: Final = 0.2
_TRANSIENT_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_BUSY_STATUS: Final = frozenset({429, 503})


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    index: int = 0
    finish_reason: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count
    completion_tokens: Count


class _Extra(msgspec.Struct):
    token_ids: tuple[Count, ...] | None = None


class _Error(msgspec.Struct):
    message: str = ""


class _StreamChunk(msgspec.Struct):
    choices: tuple[_Choice, ...] = ()
    error: _Error | None = None
    usage: _Usage | None = None
    hivemark: _Extra | None = None


_CHUNK: Final = msgspec.json.Decoder(_StreamChunk)


class StreamParser:
    """Lines of an event stream into chunks; `done` once the server said so."""

    def __init__(self) -> None:
        self.done = False

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
        try:
            return _as_chunk(_CHUNK.decode(payload))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _garbage(f"a chunk is not in OpenAI's form: {error}") from error


def _as_chunk(chunk: _StreamChunk) -> Chunk:
    if chunk.error is not None:
        raise EngineFailure(Stage.STREAM, "engine_error", f"the engine broke off: {chunk.error.message}")
    choice = next((choice for choice in chunk.choices if choice.index == 0), None)
    usage = chunk.usage
    return Chunk(
        text=(choice.delta.content or "") if choice else "",
        token_ids=chunk.hivemark.token_ids if chunk.hivemark else None,
        finish_reason=choice.finish_reason if choice else None,
        usage=None if usage is None else Usage(**msgspec.structs.asdict(usage)),
    )


def chat_body(request: EffectiveRequest, *, model: str) -> dict[str, Any]:
    """The body that asks for exactly this request."""
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


async def stream_chat(
    http: aiohttp.ClientSession, url: str, body: Mapping[str, Any], *, headers: Mapping[str, str]
) -> AsyncGenerator[Chunk, None]:
    """Ask, and yield chunks until the server is done; raises `EngineFailure` and nothing else of its own."""
    try:
        async with http.post(
            url, data=msgspec.json.encode(body), headers={**headers, "Content-Type": "application/json"}
        ) as response:
            await _require_stream(response)
            async for chunk in _chunks(response):
                yield chunk
            await _read_end(response)
    except HttpProcessingError as error:
        raise _garbage(f"the answer is not HTTP: {error.message}") from error
    except aiohttp.ClientConnectorError as error:
        message = f"the engine does not answer: {error.strerror}"
        raise EngineFailure(Stage.REQUEST, "engine_unreachable", message) from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineFailure(
            Stage.STREAM, "connection_lost", f"the engine's connection broke: {type(error).__name__}"
        ) from error


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[Chunk, None]:
    parser = StreamParser()
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


async def _read_end(response: aiohttp.ClientResponse) -> None:
    """The body ends right after `[DONE]`; having read that, the connection can be used again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_TIMEOUT_S):
            await response.content.read(1)


async def _require_stream(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        text = (await response.content.read(ERROR_BYTES_MAX)).decode("utf-8", "replace")
        status = response.status
        raise EngineFailure(
            Stage.REQUEST,
            "engine_busy" if status in _BUSY_STATUS else f"engine_status_{status}",
            f"the engine answered {status}: {_error_message(text)}",
            transient=status in _TRANSIENT_STATUS,
            at_fault=status >= 500 and status not in _BUSY_STATUS,
        )
    if response.content_type != "text/event-stream":
        raise _garbage(f"the answer is {response.content_type}, not an event stream")


def _error_message(text: str) -> str:
    """The message of OpenAI's error object, or the text as it came."""
    try:
        message = msgspec.json.decode(text.encode())["error"]["message"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return text[:200]
    return str(message)


def _garbage(message: str) -> EngineFailure:
    return EngineFailure(Stage.STREAM, "engine_garbage", message)
