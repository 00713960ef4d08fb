"""`POST /v1/chat/completions`: a request in, an answer out, whole or as it is made.

The answer is made in one task and the client watched in another: when the client goes, the answer's task
is cancelled, and with it the generation within one token.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Final

from starlette.types import Receive, Scope, Send

from hivemark.engine import Piece
from hivemark.errors import HivemarkError, NotFoundError, TooLargeError
from hivemark.worker.chat_request import ChatRequest, parse_chat_request
from hivemark.worker.chat_response import DONE, Answer, JsonObject, encode_event, encode_json, usage_of
from hivemark.worker.error_object import error_object
from hivemark.worker.generator import Generator, Prepared
from hivemark.worker.identity import Identity

BODY_BYTES_MAX: Final = 1_048_576
EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"
JSON: Final = b"application/json"


class ChatEndpoint:
    """An ASGI application for one route."""

    def __init__(self, generator: Generator, identity: Identity) -> None:
        self._generator = generator
        self._identity = identity

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        request = parse_chat_request(body)
        if request.model != self._identity.model_name:
            raise NotFoundError(
                f"this worker serves {self._identity.model_name}", code="model_not_found", field="model"
            )
        await _while_client_listens(self._answer(request, send), receive)

    async def _answer(self, request: ChatRequest, send: Send) -> None:
        async with self._generator.turn(), aclosing(self._generator.pieces(request)) as items:
            prepared = await anext(items)
            assert isinstance(prepared, Prepared)
            first = await anext(items)  # what can be refused is refused before an answer begins
            assert isinstance(first, Piece)
            answer = self._identity.answer(
                completion_id=f"chatcmpl-{secrets.token_hex(12)}",
                created_s=int(time.time()),
                seed=prepared.seed,
            )
            if request.stream:
                await _send_stream(send, answer, request, prepared, first, items)
            else:
                await _send_whole(send, answer, prepared, first, items)


async def _send_whole(
    send: Send, answer: Answer, prepared: Prepared, first: Piece, rest: AsyncGenerator[Prepared | Piece, None]
) -> None:
    pieces = [first]
    async for piece in rest:
        assert isinstance(piece, Piece)
        pieces.append(piece)
    usage = usage_of(prompt_tokens=prepared.prompt_tokens, completion_tokens=len(pieces))
    text = "".join(piece.text for piece in pieces)
    await _start(send, JSON)
    await send({"type": "http.response.body", "body": encode_json(answer.whole(text, pieces, usage))})


async def _send_stream(
    send: Send,
    answer: Answer,
    request: ChatRequest,
    prepared: Prepared,
    first: Piece,
    rest: AsyncGenerator[Prepared | Piece, None],
) -> None:
    """Chunks in OpenAI's order: role, content, finish, usage if asked for, `[DONE]`.

    A fault after the first chunk is an error event, and no `[DONE]` follows it.
    """
    await _start(send, EVENT_STREAM)
    try:
        await _send_part(send, encode_event(answer.opening()))
        async for chunk in _chunks(answer, request, prepared, first, rest):
            await _send_part(send, encode_event(chunk))
    except HivemarkError as error:
        await _send_part(send, encode_event(error_object(error)))
    else:
        await _send_part(send, DONE)
    await send({"type": "http.response.body", "body": b""})


async def _chunks(
    answer: Answer,
    request: ChatRequest,
    prepared: Prepared,
    first: Piece,
    rest: AsyncGenerator[Prepared | Piece, None],
) -> AsyncGenerator[JsonObject, None]:
    """A content chunk for every piece with text; the ids of pieces without wait for the next chunk."""
    unsent: list[Piece] = []
    completion_tokens = 0
    piece = first
    while True:
        completion_tokens += 1
        unsent.append(piece)
        if piece.text:
            yield answer.content(piece.text, unsent)
            unsent = []
        following = await anext(rest, None)
        if following is None:
            break
        assert isinstance(following, Piece)
        piece = following
    assert piece.finish_reason is not None
    yield answer.closing(unsent, piece.finish_reason)
    if request.stream_options is not None and request.stream_options.include_usage:
        yield answer.usage(
            usage_of(prompt_tokens=prepared.prompt_tokens, completion_tokens=completion_tokens)
        )


async def _while_client_listens(answering: Coroutine[None, None, None], receive: Receive) -> None:
    """Run `answering` to its end, or cancel it when the client goes away."""
    answer = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(_wait_until_disconnected(receive))
    try:
        await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_answered = answer.done()
        for task in (answer, leaving):
            task.cancel()
        await asyncio.wait((answer, leaving))
    if is_answered:
        answer.result()


async def _wait_until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None when the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise TooLargeError(f"the body is over {BODY_BYTES_MAX} bytes", code="body_too_large")
        if not message.get("more_body", False):
            return bytes(body)


async def _start(send: Send, content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})
