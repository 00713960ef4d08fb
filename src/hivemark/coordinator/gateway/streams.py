"""The hive's side of a call: the frames of its POST go to the pipe of the client, its result to T3."""

import asyncio
from typing import Final, Literal

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hivemark.api.link import ResultAnswer, ResultFrame
from hivemark.api.stream import FrameKind, FrameReader, StreamFrame
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import Context
from hivemark.coordinator.gateway.pipes import Pipe, Pipes
from hivemark.coordinator.ports import HiveRow
from hivemark.errors import ConflictError, HivemarkError, InvalidError
from hivemark.protocol.answers import AnswerMalformed

_RESULT: Final = msgspec.json.Decoder(ResultFrame)
_log = structlog.get_logger(__name__)


class StreamOver(ConflictError):
    """Nobody reads this stream any more; its code says why."""


async def accept_stream(request: Request, hive: HiveRow, context: Context, pipes: Pipes) -> Response:
    """Docs/spec/link 7. 200 with the answer to the result; 409 as soon as nobody reads on."""
    attempt = str(request.path_params["attempt"])
    execution = await context.pool.run(context.services.results.require_open, hive, attempt)
    pipe = pipes.of(execution)
    if pipe is None or pipe.call.over is not None:
        raise StreamOver(code="client_gone" if pipe is None else str(pipe.call.over))
    if pipe.call.relayed.begun:
        raise StreamOver(code="stream_over")
    pipe.begin(attempt)
    stream = _HiveStream(request, hive, attempt, context, pipe)
    reading = asyncio.create_task(stream.read(), name=f"stream-{attempt}")
    closing = asyncio.create_task(pipe.closed.wait(), name=f"closing-{attempt}")
    try:
        await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
        if reading.done() or stream.is_settling:
            return _answer(await reading)
        raise StreamOver(code=str(pipe.call.over))
    finally:
        reading.cancel()
        closing.cancel()


def _answer(answer: ResultAnswer | None) -> Response:
    if answer is None:
        raise StreamOver("the stream ended before its result", code="stream_lost")
    return Response(msgspec.json.encode(answer), media_type="application/json")


class _HiveStream:
    """Reads one POST to its end."""

    def __init__(self, request: Request, hive: HiveRow, attempt: str, context: Context, pipe: Pipe) -> None:
        self._request = request
        self._hive = hive
        self._attempt = attempt
        self._context = context
        self._pipe = pipe
        self.is_settling = False
        """Whether the result has come: from then on the reading goes to its end."""

    async def read(self) -> ResultAnswer | None:
        """The answer to the result; None when the connection broke before one came."""
        frames = FrameReader()
        try:
            async for part in self._request.stream():
                for frame in frames.feed(part):
                    if frame.kind is FrameKind.RESULT:
                        return await self._settle(frame.payload)
                    await self._take(frame)
        except ClientDisconnect:
            pass
        except AnswerMalformed as error:
            _log.warning("stream_malformed", hive=self._hive.id, attempt=self._attempt, why=str(error))
            await self._lost("engine_garbage")
            raise InvalidError(error.message, code="stream_malformed") from error
        await self._lost("hive_lost")
        return None

    async def _take(self, frame: StreamFrame) -> None:
        call = self._pipe.call
        match frame.kind:
            case FrameKind.DATA:
                call.relayed.add(frame.payload)
                if call.streams:
                    await self._pipe.put(frame.payload)
                else:
                    self._pipe.whole = frame.payload
            case FrameKind.REFUSAL:
                call.refusal = frame.refusal
            case _:
                pass

    async def _settle(self, payload: bytes) -> ResultAnswer:
        try:
            result = _RESULT.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidError(f"not a result frame: {error}", code="message_malformed") from error
        if result.attempt != self._attempt:
            raise InvalidError("stream and result name different attempts", code="attempt_mismatch")
        pipe, call = self._pipe, self._pipe.call
        if call.streams:
            await pipe.drained()
        elif call.over is None:
            call.relayed.gave(len(call.relayed.texts))  # it is given whole, once its receipt holds
        self.is_settling = True
        call.relayed.complete = True
        services = self._context.services
        return await self._context.pool.run(services.results.accept, self._hive, result, now_ms=now_ms())

    async def _lost(self, over: Literal["hive_lost", "engine_garbage"]) -> None:
        """The connection is gone. What the client was given cannot be taken back; else another hive tries."""
        pipe = self._pipe
        if pipe.closed.is_set() or pipe.call.end is not None or pipe.call.attempt != self._attempt:
            return
        if pipe.call.relayed.begun:
            pipe.close(over)
            return
        try:
            await self._context.pool.run(
                self._context.services.reaper.end_attempt, self._attempt, reason=over, now_ms=now_ms()
            )
        except HivemarkError as error:  # its lease will run out
            _log.warning("attempt_not_ended", attempt=self._attempt, code=error.code)
