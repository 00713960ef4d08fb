"""The client's side of the OpenAI endpoints: a call in, its answer out, as it is made or whole."""

import asyncio
import json
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from hivemark.api import openai
from hivemark.api.status import STATUS
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import Context, read_body
from hivemark.coordinator.gateway.callers import caller_of
from hivemark.coordinator.gateway.hotroute import HotRoute
from hivemark.coordinator.gateway.pipes import TICK_S, Pipe, Pipes
from hivemark.coordinator.limits import limit_headers
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.apikeys import Scope as KeyScope
from hivemark.coordinator.service.calls import Caller
from hivemark.coordinator.service.held import CallEnd, HeldCall, Over
from hivemark.errors import (
    BadUpstreamError,
    CancelledError,
    HivemarkError,
    Kind,
    NotFoundError,
    PaymentRequiredError,
    UnauthenticatedError,
    UnavailableError,
)
from hivemark.protocol.answers import Endpoint

KEEPALIVE_S: Final = 15.0
_EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"
_JSON: Final = b"application/json"
_ALIVE: Final = b": keep-alive\n\n"
_DONE: Final = b"data: [DONE]\n\n"
_AT_ONCE: Final[frozenset[Over]] = frozenset({"client_gone", "client_too_slow", "budget_exhausted"})
"""Ends after which nothing that waits is given any more."""
_log = structlog.get_logger(__name__)


def build_call_routes(context: Context, pipes: Pipes) -> list[BaseRoute]:
    """Everything under `/v1`."""

    async def models(request: Request) -> Response:
        caller = await caller_of(request, context)
        names = await context.pool.run(context.services.calls.models, caller)
        return JSONResponse({"object": "list", "data": [_model(name) for name in names]})

    async def model(request: Request) -> Response:
        caller = await caller_of(request, context)
        name = request.path_params["model"]
        if name not in await context.pool.run(context.services.calls.models, caller):
            raise NotFoundError(
                f"the model {name!r} does not exist here", code="model_not_found", field="model"
            )
        return JSONResponse(_model(name))

    async def cancel(request: Request) -> Response:
        caller = await caller_of(request, context)
        call = await context.pool.run(
            context.services.calls.cancel,
            request.path_params["execution"],
            account=caller.account,
            now_ms=now_ms(),
        )
        if (pipe := pipes.of(call.execution)) is not None:
            pipe.close("cancelled")
        return JSONResponse({"id": call.execution, "object": "execution", "cancelled": True})

    def endpoint(name: Endpoint) -> "CallEndpoint":
        return CallEndpoint(name, context, pipes)

    return [
        HotRoute(openai.MODELS, models),
        HotRoute(openai.MODEL, model),
        HotRoute(openai.CALL, cancel, methods=["DELETE"]),
        HotRoute(openai.CHAT, endpoint("chat.completions"), methods=["POST"]),
        HotRoute(openai.COMPLETIONS, endpoint("completions"), methods=["POST"]),
        HotRoute(openai.EMBEDDINGS, endpoint("embeddings"), methods=["POST"]),
    ]


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "hivemark"}


class CallEndpoint:
    """An ASGI application for one endpoint."""

    def __init__(self, endpoint: Endpoint, context: Context, pipes: Pipes) -> None:
        self._endpoint = endpoint
        self._context = context
        self._pipes = pipes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        context, services = self._context, self._context.services
        body = await read_body(request, bytes_max=openai.BODY_BYTES_MAX)
        caller = await caller_of(request, context, scope=KeyScope.INFERENCE)
        asked = openai.parse_call(self._endpoint, body)
        estimate = asked.text_bytes // 4 + 1
        limits: dict[str, str] = {}
        if caller.api_key is not None:
            limits = limit_headers(services.limits.admit(caller.api_key, estimate, now_ms=now_ms()))
        try:
            call = await context.pool.run(services.calls.begin, caller, asked, now_ms=now_ms())
        except HivemarkError:
            if caller.api_key is not None:  # what was never begun used no token
                services.limits.charge(caller.api_key, -estimate, now_ms=now_ms())
            raise
        services.metrics.calls_open.inc()
        try:
            await _Answering(call, caller, limits, context, self._pipes, receive, send).run()
        finally:
            services.metrics.calls_open.dec()
            services.metrics.calls_ended.labels(
                endpoint=self._endpoint, outcome=call.over or (call.end.state if call.end else "open")
            ).inc()
            if caller.api_key is not None:
                services.limits.charge(caller.api_key, call.relayed.given_tokens, now_ms=now_ms())


class _Answering:
    """One call from its job to the last byte its client was sent."""

    def __init__(
        self,
        call: HeldCall,
        caller: Caller,
        limits: dict[str, str],
        context: Context,
        pipes: Pipes,
        receive: Receive,
        send: Send,
    ) -> None:
        self._call = call
        self._caller = caller
        self._limits = limits
        self._context = context
        self._pipes = pipes
        self._receive = receive
        self._send = send
        self._started = False
        self._loop = asyncio.get_running_loop()
        self._began_ms = now_ms()
        self._silent_since_ms = self._began_ms
        self._looked_ms = self._began_ms
        self._key_changed = asyncio.Event()

    async def run(self) -> None:
        """Raises what is to be answered instead, as long as no byte was."""
        call = self._call
        of_key = () if call.api_key is None else (hints.of_key(call.api_key),)
        wakeups = self._context.wakeups
        with wakeups.waiter(hints.of_call(call.execution), *of_key) as waiter, wakeups.waiter(*of_key) as key:
            self._key_changed = key.event
            pipe = Pipe(call, waiter.event)
            pipe.answering = asyncio.current_task()
            self._pipes.add(pipe)
            leaving = asyncio.create_task(self._watch_client(pipe), name=f"client-{call.execution}")
            try:
                await self._relay(pipe)
            except asyncio.CancelledError:
                if call.over != "client_too_slow":
                    pipe.close("stopping")
                    raise
            finally:
                leaving.cancel()
                self._pipes.remove(pipe)
                await asyncio.shield(self._leave(pipe))

    async def _watch_client(self, pipe: Pipe) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        pipe.close("client_gone")

    async def _leave(self, pipe: Pipe) -> None:
        """Whoever still works for this call is told; what it was worth is settled with its receipt."""
        call = self._call
        if call.end is not None:
            self._context.services.calls.held.forget(call)
            return
        pipe.close("client_gone")
        await self._context.pool.run(
            self._context.services.calls.leave, call, call.over or "client_gone", now_ms=now_ms()
        )

    async def _relay(self, pipe: Pipe) -> None:
        call = self._call
        while True:
            if now_ms() - self._looked_ms >= TICK_S * 1000 or self._key_changed.is_set():
                await self._look(pipe)
            if pipe.waiting and call.over not in _AT_ONCE:
                await self._give(pipe)
            elif call.over is not None:
                await self._fail(_over_error(call.over))
                return
            elif call.end is not None:
                await self._finish(pipe, call.end)
                return
            else:
                await self._wait(pipe)

    async def _wait(self, pipe: Pipe) -> None:
        await pipe.more.wait()
        pipe.more.clear()

    async def _give(self, pipe: Pipe) -> None:
        call = self._call
        if call.afforded_tokens is not None and call.relayed.given_tokens >= call.afforded_tokens:
            pipe.close("budget_exhausted")
            return
        payload = pipe.waiting[0]
        await self._start(_EVENT_STREAM)
        self._call.relayed.begun = True
        await self._write(payload, pipe)
        if pipe.waiting and pipe.waiting[0] is payload:
            pipe.waiting.popleft()
            pipe.taken(payload)
        self._silent_since_ms = now_ms()

    async def _write(self, payload: bytes, pipe: Pipe) -> None:
        pipe.writing_since_s = self._loop.time()
        await self._send({"type": "http.response.body", "body": payload, "more_body": True})
        pipe.writing_since_s = None

    async def _look(self, pipe: Pipe) -> None:
        """Once a second: what nobody announces."""
        call, services = self._call, self._context.services
        now = self._looked_ms = now_ms()
        self._key_changed.clear()
        if self._context.stopping.is_set():
            pipe.close("stopping")
            return
        if not call.relayed.begun:
            await self._context.pool.run(services.calls.look, call)
        if call.api_key is not None:
            await self._look_at_key(pipe, call.api_key)
        if call.attempt is None and now - self._began_ms >= services.calls.rules.queue_timeout_s * 1000:
            pipe.close("no_place")
        if call.streams and now - self._silent_since_ms >= KEEPALIVE_S * 1000:
            self._silent_since_ms = now
            await self._start(_EVENT_STREAM)
            await self._write(_ALIVE, pipe)

    async def _look_at_key(self, pipe: Pipe, key_id: str) -> None:
        """Revoked or expired in the middle: what was given stays, no more follows."""
        try:
            await self._context.pool.run(self._context.services.api_keys.standing, key_id, now_ms=now_ms())
        except UnauthenticatedError as error:
            pipe.close("api_key_expired" if error.code == "api_key_expired" else "api_key_revoked")
        except UnavailableError as error:  # nothing says that the key does not stand
            _log.warning("key_not_looked_at", key=key_id, code=error.code)

    async def _start(self, content_type: bytes, status: int = 200) -> None:
        if self._started:
            return
        self._started = True
        named = {
            openai.EXECUTION: self._call.execution,
            openai.JOB: self._call.job,
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            **self._limits,
        }
        raw = [(b"content-type", content_type)]
        raw += [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _finish(self, pipe: Pipe, end: CallEnd) -> None:
        if end.failure is not None:
            await self._fail(end.failure)
        elif self._call.streams:
            await self._start(_EVENT_STREAM)
            note = {"execution": self._call.execution, "job": self._call.job, "outcome": "accepted"}
            comment = b": hivemark " + json.dumps(note).encode() + b"\n\n"
            await self._end(comment + _DONE)
        else:
            assert pipe.whole is not None, "a completed call has an answer"
            await self._start(_JSON)
            await self._end(pipe.whole)

    async def _fail(self, error: HivemarkError) -> None:
        call = self._call
        if call.over == "client_gone":  # nobody hears this; it is for the log
            await self._start(_EVENT_STREAM, STATUS[Kind.CANCELLED])
            await self._end(b"")
        elif self._started:
            await self._end(b"data: " + json.dumps(openai.error_object(error)).encode() + b"\n\n")
        elif call.refusal is not None and call.over is None:
            status, body = call.refusal
            await self._start(_JSON, status)
            await self._end(body)
        else:
            raise error

    async def _end(self, last: bytes) -> None:
        await self._send({"type": "http.response.body", "body": last})


def _over_error(over: Over) -> HivemarkError:
    kind, message = _OVERS[over]
    return kind(message, code=over)


_OVERS: Final[dict[Over, tuple[type[HivemarkError], str]]] = {
    "client_gone": (CancelledError, "the client went away"),
    "client_too_slow": (CancelledError, "the client took nothing for too long"),
    "cancelled": (CancelledError, "the call was cancelled"),
    "api_key_revoked": (UnauthenticatedError, "this API key was revoked"),
    "api_key_expired": (UnauthenticatedError, "this API key has expired"),
    "budget_exhausted": (PaymentRequiredError, "the credits for this answer are used up"),
    "no_place": (UnavailableError, "no hive that offers this model had a place for it in time"),
    "engine_garbage": (BadUpstreamError, "the answer broke off: the engine sent what is no answer"),
    "hive_lost": (UnavailableError, "the answer broke off: the hive that made it was lost"),
    "stopping": (UnavailableError, "the coordinator is stopping"),
}
