"""The HTTP side of the scripted engine: OpenAI's wire form, and its violation on command.

`GET /health`, `GET /v1/models`, `POST /v1/chat/completions` and `/v1/completions` (streamed or not),
`/v1/embeddings`, `GET|POST /script`.
"""

import asyncio
import base64
import hmac
import json
import os
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hivemark.errors import HivemarkError
from hivemark.testing.engine.script import (
    Answer,
    ChatRequest,
    Fault,
    Script,
    answer_to,
    apply_members,
    called,
    direct,
    embedding,
    parse_chat_request,
    token_ids,
)

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
HUGE_LINE_BYTES: Final = 4_194_304
CRASH_STATUS: Final = 70


@dataclass(slots=True)
class EngineState:
    """What the process knows of itself. `count_file` keeps the count of faults over restarts."""

    model: dict[str, Any]
    engine: dict[str, Any]
    token: str | None
    script: Script
    count_file: Path | None = None
    faults_met: int = 0
    requests: int = 0
    running: int = 0

    def take_fault(self, script: Script) -> Fault | None:
        """The fault that this request meets, counted."""
        if script.fault is None:
            return None
        met = self.faults_met
        if self.count_file is not None and self.count_file.exists():
            met = int(self.count_file.read_text())
        if script.fault_times is not None and met >= script.fault_times:
            return None
        self.faults_met = met + 1
        if self.count_file is not None:
            self.count_file.write_text(str(self.faults_met))
        return script.fault


def build_app(state: EngineState) -> Starlette:
    """The application; `state` belongs to it from now on."""
    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/embeddings", embeddings, methods=["POST"]),
            Route("/script", script, methods=["GET", "POST"]),
        ]
    )
    app.state.engine = state
    return app


async def health(request: Request) -> Response:
    """Whether it stands; runs nothing."""
    state = _authorised(request)
    if isinstance(state, Response):
        return state
    return JSONResponse({"loaded": True, "busy": state.running > 0, "queue": 0, "requests": state.requests})


async def models(request: Request) -> Response:
    """OpenAI's list, with the digest as an extra member."""
    state = _authorised(request)
    if isinstance(state, Response):
        return state
    entry = {"id": state.model["name"], "object": "model", "created": 0, "owned_by": "hivemark"}
    entry["weights_sha256"] = state.model["weights_sha256"]
    return JSONResponse({"object": "list", "data": [entry]})


async def script(request: Request) -> Response:
    """Read the script, or replace members of it for the requests that follow."""
    state = _authorised(request)
    if isinstance(state, Response):
        return state
    if request.method == "POST":
        try:
            state.script = apply_members(state.script, await request.json())
        except HivemarkError as error:
            return _problem(400, error.code, str(error))
        state.faults_met = 0
    return JSONResponse(asdict(state.script))


async def completions(request: Request) -> Response:
    """As `chat`, for a prompt."""
    return await _answered(request, _Form("text_completion", "text_completion", _text_choice))


async def chat(request: Request) -> Response:
    """One completion, well-formed or broken as the script says."""
    return await _answered(request, _Form("chat.completion", "chat.completion.chunk", _delta_choice))


async def embeddings(request: Request) -> Response:
    """A small vector for each text, as numbers or as base64 of little-endian float32."""
    state = _authorised(request)
    if isinstance(state, Response):
        return state
    asked = await request.json()
    given = asked.get("input")
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) for text in texts):
        return _problem(400, "body_malformed", "expected text or a list of texts")
    state.requests += 1
    vectors = [embedding(text) for text in texts]
    shown: list[Any] = vectors
    if asked.get("encoding_format") == "base64":
        shown = [base64.b64encode(struct.pack("<8f", *vector)).decode() for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(shown)
    ]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "model": state.model["name"], "data": data, "usage": usage})


@dataclass(frozen=True, slots=True)
class _Form:
    """How the two endpoints differ: names of their objects, and where a piece of text stands."""

    whole: str
    chunk: str
    choice: Callable[[dict[str, Any], str | None], dict[str, Any]]


def _delta_choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _text_choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": delta.get("content", ""), "finish_reason": finish_reason}


async def _answered(request: Request, form: _Form) -> Response:
    state = _authorised(request)
    if isinstance(state, Response):
        return state
    try:
        asked = parse_chat_request(await request.json())
        play = direct(state.script, asked)
    except HivemarkError as error:
        return _problem(400, error.code, str(error))
    except ValueError as error:
        return _problem(400, "body_malformed", str(error))
    state.requests += 1
    fault = state.take_fault(play)
    if fault is Fault.ERROR_STATUS:
        return _problem(play.status, "scripted", "the script says so")
    if fault is Fault.WRONG_TYPE:
        return Response("<html>this is not a stream</html>", media_type="text/html")
    answer = answer_to(play, asked)
    if asked.stream:
        return StreamingResponse(_stream(state, asked, answer, play, fault, form), media_type=EVENT_STREAM)
    return await _whole(state, asked, answer, play, fault, form)


async def _whole(
    state: EngineState, asked: ChatRequest, answer: Answer, play: Script, fault: Fault | None, form: _Form
) -> Response:
    await _before_first_token(play, fault)
    if fault in (Fault.GARBAGE_JSON, Fault.GARBAGE_SSE, Fault.HALF_LINE):
        return Response('{"choices": [{"message": ', media_type="application/json")
    await asyncio.sleep(play.token_delay_s * len(answer.pieces))
    body = _envelope(state, form.whole)
    text = "".join(answer.pieces)
    if form.whole == "text_completion":
        body["choices"] = [form.choice({"content": text}, answer.finish_reason)]
    elif calls := called(play, asked):
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": calls}
        body["choices"] = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    else:
        message = {"role": "assistant", "content": text}
        body["choices"] = [{"index": 0, "message": message, "finish_reason": answer.finish_reason}]
    body["usage"] = _usage(answer)
    body["hivemark"] = {"token_ids": token_ids(answer.pieces), "engine": state.engine, "model": state.model}
    return JSONResponse(body)


async def _stream(
    state: EngineState, asked: ChatRequest, answer: Answer, play: Script, fault: Fault | None, form: _Form
) -> AsyncIterator[bytes]:
    state.running += 1
    try:
        await _before_first_token(play, fault)
        if calls := called(play, asked):
            async for event in _calling(state, calls, asked):
                yield event
            return
        if form.chunk == "chat.completion.chunk":
            yield _event(_chunk(state, {"role": "assistant", "content": ""}))
        middle = len(answer.pieces) // 2
        for position, piece in enumerate(answer.pieces):
            if position == middle and fault is not None:
                async for broken in _in_the_middle(state, fault):
                    yield broken
                if fault in _ENDS_IN_THE_MIDDLE:
                    return
            if play.token_delay_s:
                await asyncio.sleep(play.token_delay_s)
            yield _event(_chunk(state, {"content": piece}, token_ids=token_ids([piece]), form=form))
        async for last in _ending(state, asked, answer, fault, form):
            yield last
    finally:
        state.running -= 1


async def _calling(
    state: EngineState, calls: list[dict[str, Any]], asked: ChatRequest
) -> AsyncIterator[bytes]:
    """Each call opened by its name, then its arguments in pieces, as engines do."""
    for index, call in enumerate(calls):
        opened = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield _event(_chunk(state, {"role": "assistant", "tool_calls": [opened]}))
        arguments = call["function"]["arguments"]
        for start in range(0, len(arguments), 7):
            piece = {"index": index, "function": {"arguments": arguments[start : start + 7]}}
            yield _event(_chunk(state, {"tool_calls": [piece]}))
    yield _event(_chunk(state, {}, finish_reason="tool_calls"))
    if asked.include_usage:
        usage = _envelope(state, "chat.completion.chunk")
        yield _event(usage | {"choices": [], "usage": _usage(Answer((), "tool_calls", 7), completion=9)})
    yield b"data: [DONE]\n\n"


_ENDS_IN_THE_MIDDLE: Final = frozenset({Fault.HALF_LINE, Fault.CUT})


async def _before_first_token(play: Script, fault: Fault | None) -> None:
    if fault is Fault.CRASH_BEFORE:
        os._exit(CRASH_STATUS)
    if fault is Fault.HANG_BEFORE:
        await asyncio.Event().wait()
    if play.first_token_delay_s:
        await asyncio.sleep(play.first_token_delay_s)


async def _in_the_middle(state: EngineState, fault: Fault) -> AsyncIterator[bytes]:
    match fault:
        case Fault.CRASH_MIDDLE:
            await asyncio.sleep(0.02)  # so that what was sent leaves the socket first
            os._exit(CRASH_STATUS)
        case Fault.HANG_MIDDLE:
            await asyncio.Event().wait()
        case Fault.GARBAGE_JSON:
            yield b'data: {"choices": [{"delta": {"content": nope}}]}\n\n'
        case Fault.GARBAGE_SHAPE:
            yield b'data: {"choices": {"delta": 7}}\n\n'
        case Fault.GARBAGE_SSE:
            yield b"\x00\xff\xfe this is no event stream\n\n"
        case Fault.GARBAGE_UTF8:
            yield b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n'
        case Fault.HALF_LINE:
            yield b'data: {"choices": [{"del'
        case Fault.CUT:
            raise ConnectionAbortedError("the script cuts the connection")
        case Fault.HUGE_LINE:
            yield _event(_chunk(state, {"content": "x" * HUGE_LINE_BYTES}))
        case Fault.ENDLESS:
            while True:
                yield _event(_chunk(state, {"content": "more " * 200}, token_ids=token_ids(["more "] * 200)))
                await asyncio.sleep(0)
        case _:
            pass


async def _ending(
    state: EngineState, asked: ChatRequest, answer: Answer, fault: Fault | None, form: _Form
) -> AsyncIterator[bytes]:
    closing = _chunk(state, {}, finish_reason=answer.finish_reason, form=form)
    closing["hivemark"] = {"engine": state.engine, "model": state.model}
    yield _event(closing)
    if asked.include_usage and fault is not Fault.NO_USAGE:
        usage = _envelope(state, form.chunk)
        usage |= {"choices": [], "usage": _usage(answer)}
        yield _event(usage)
    if fault is not Fault.NO_DONE:
        yield b"data: [DONE]\n\n"


def _authorised(request: Request) -> EngineState | Response:
    state: EngineState = request.app.state.engine
    given = request.headers.get("authorization", "")
    if state.token is not None and not hmac.compare_digest(given.encode(), f"Bearer {state.token}".encode()):
        return _problem(401, "unauthenticated", "the bearer token is missing or wrong")
    return state


def _envelope(state: EngineState, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 0, "model": state.model["name"]}


def _chunk(
    state: EngineState,
    delta: dict[str, Any],
    *,
    finish_reason: str | None = None,
    token_ids: list[int] | None = None,
    form: _Form | None = None,
) -> dict[str, Any]:
    form = form or _Form("chat.completion", "chat.completion.chunk", _delta_choice)
    chunk = _envelope(state, form.chunk)
    chunk["choices"] = [form.choice(delta, finish_reason)]
    if token_ids is not None:
        chunk["hivemark"] = {"token_ids": token_ids}
    return chunk


def _usage(answer: Answer, *, completion: int | None = None) -> dict[str, int]:
    completion = len(answer.pieces) if completion is None else completion
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": answer.prompt_tokens + completion,
    }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _problem(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "scripted", "code": code}}, status_code=status)
