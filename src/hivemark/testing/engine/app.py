"""The HTTP side of the scripted engine: OpenAI's wire form, and its violation on command.

`GET /health`, `GET /v1/models`, `POST /v1/chat/completions` (streamed or not), `GET|POST /script`.
"""

import asyncio
import hmac
import json
import os
from collections.abc import AsyncIterator
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
    direct,
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


async def chat(request: Request) -> Response:
    """One completion, well-formed or broken as the script says."""
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
        return StreamingResponse(_stream(state, asked, answer, play, fault), media_type=EVENT_STREAM)
    return await _whole(state, answer, play, fault)


async def _whole(state: EngineState, answer: Answer, play: Script, fault: Fault | None) -> Response:
    await _before_first_token(play, fault)
    if fault in (Fault.GARBAGE_JSON, Fault.GARBAGE_SSE, Fault.HALF_LINE):
        return Response('{"choices": [{"message": ', media_type="application/json")
    await asyncio.sleep(play.token_delay_s * len(answer.pieces))
    body = _envelope(state, "chat.completion")
    message = {"role": "assistant", "content": "".join(answer.pieces)}
    body["choices"] = [{"index": 0, "message": message, "finish_reason": answer.finish_reason}]
    body["usage"] = _usage(answer)
    body["hivemark"] = {"token_ids": token_ids(answer.pieces), "engine": state.engine, "model": state.model}
    return JSONResponse(body)


async def _stream(
    state: EngineState, asked: ChatRequest, answer: Answer, play: Script, fault: Fault | None
) -> AsyncIterator[bytes]:
    state.running += 1
    try:
        await _before_first_token(play, fault)
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
            yield _event(_chunk(state, {"content": piece}, token_ids=token_ids([piece])))
        async for last in _ending(state, asked, answer, fault):
            yield last
    finally:
        state.running -= 1


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
    state: EngineState, asked: ChatRequest, answer: Answer, fault: Fault | None
) -> AsyncIterator[bytes]:
    closing = _chunk(state, {}, finish_reason=answer.finish_reason)
    closing["hivemark"] = {"engine": state.engine, "model": state.model}
    yield _event(closing)
    if asked.include_usage and fault is not Fault.NO_USAGE:
        usage = _envelope(state, "chat.completion.chunk")
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
    delta: dict[str, str],
    *,
    finish_reason: str | None = None,
    token_ids: list[int] | None = None,
) -> dict[str, Any]:
    chunk = _envelope(state, "chat.completion.chunk")
    chunk["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    if token_ids is not None:
        chunk["hivemark"] = {"token_ids": token_ids}
    return chunk


def _usage(answer: Answer) -> dict[str, int]:
    completion = len(answer.pieces)
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": answer.prompt_tokens + completion,
    }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _problem(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "scripted", "code": code}}, status_code=status)
