"""WebSocket and result routes: bytes in and out of the session and the results service, nothing decided."""

import asyncio
import re
from typing import Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketState

from hivemark.api import headers
from hivemark.api.link import LINK_PATH, RESULT_BYTES_MAX, RESULT_PATH, ResultFrame
from hivemark.api.stream import STREAM_PATH
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import Context, read_body
from hivemark.coordinator.gateway.hotroute import HotRoute
from hivemark.coordinator.gateway.pipes import Pipes
from hivemark.coordinator.gateway.session import Close, Effect, LinkSession, Send
from hivemark.coordinator.gateway.streams import accept_stream
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.identity import Random
from hivemark.errors import HivemarkError, InvalidError, UnauthenticatedError

TICK_S: Final = 0.5
REST_S: Final = 0.02
CLOSE_TRY_AGAIN: Final = 1013
_EPOCH: Final = re.compile(r"[0-9]{1,15}")
_RESULT: Final = msgspec.json.Decoder(ResultFrame)
_log = structlog.get_logger(__name__)


def build_link_routes(context: Context, pipes: Pipes, *, random: Random) -> list[BaseRoute]:
    """The link, the results and the streams of linked hives."""

    async def link(websocket: WebSocket) -> None:
        await websocket.accept()
        await _Link(websocket, context, random).run()

    async def result(request: Request) -> Response:
        return await _accept_result(request, context)

    async def stream(request: Request) -> Response:
        token, hive_id, epoch = _credentials(request)
        hive = await context.pool.run(
            context.services.links.require_session, hive=hive_id, epoch=epoch, token=token
        )
        return await accept_stream(request, hive, context, pipes)

    return [
        WebSocketRoute(LINK_PATH, link),
        HotRoute(RESULT_PATH, result, methods=["POST"]),
        HotRoute(STREAM_PATH, stream, methods=["POST"]),
    ]


class _Link:
    """One connection: a reader and a ticker take turns at the session."""

    def __init__(self, websocket: WebSocket, context: Context, random: Random) -> None:
        self._websocket = websocket
        self._context = context
        self._turn = asyncio.Lock()
        self._session = LinkSession(
            links=context.services.links,
            identity=context.services.identity,
            metrics=context.services.metrics,
            random=random,
            address=websocket.client.host if websocket.client else None,
            now_ms=now_ms(),
        )

    async def run(self) -> None:
        """Until either side closes; what went wrong in one half ends the other."""
        halves = [asyncio.create_task(self._read()), asyncio.create_task(self._tick())]
        try:
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in done:
                half.result()
        except HivemarkError as error:  # too much to do, or the database is away: the hive comes back
            _log.warning("link_dropped", hive=self._session.hive, code=error.code)
            await self._websocket.close(CLOSE_TRY_AGAIN, error.code)
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
            await self._end()

    async def _read(self) -> None:
        while not self._session.closed:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = (message.get("text") or "").encode()  # a binary message is none of this link
            async with self._turn:
                await self._apply(await self._context.pool.run(self._session.receive, text, now_ms=now_ms()))

    async def _tick(self) -> None:
        while not self._session.closed:
            hive = self._session.hive
            topics = (hints.QUEUE, hints.of_hive(hive)) if hive else ()
            with self._context.wakeups.waiter(*topics) as waiter:
                while self._session.hive == hive and not self._session.closed:
                    await self._tick_once()
                    await asyncio.sleep(REST_S)  # results come in bursts: one look for many freed slots
                    await waiter.wait(TICK_S)

    async def _tick_once(self) -> None:
        async with self._turn:
            if self._context.stopping.is_set():
                await self._apply(self._session.refuse("maintenance", "the coordinator is stopping"))
            else:
                await self._apply(await self._look())

    async def _look(self) -> list[Effect]:
        """A tick; before the handshake has held it only looks at the clock, and strangers get no thread."""
        if self._session.hive is None:
            return self._session.tick(now_ms=now_ms())
        return await self._context.pool.run(self._session.tick, now_ms=now_ms())

    async def _apply(self, effects: list[Effect]) -> None:
        if self._websocket.client_state is not WebSocketState.CONNECTED:
            return
        for effect in effects:
            match effect:
                case Send():
                    await self._websocket.send_text(effect.text.decode())
                case Close():
                    _log.info("link_closed", hive=self._session.hive, code=effect.code, why=effect.reason)
                    await self._websocket.close(effect.code, effect.reason)

    async def _end(self) -> None:
        """Also when the process is stopping: the row must not go on saying `linked`."""
        if self._session.hive is None:
            self._session.end(now_ms=now_ms())
            return
        await asyncio.shield(self._context.pool.run(self._session.end, now_ms=now_ms()))


async def _accept_result(request: Request, context: Context) -> Response:
    """Spec/http 6: the session first, then the body, then the result."""
    services = context.services
    token, hive_id, epoch = _credentials(request)
    hive = await context.pool.run(services.links.require_session, hive=hive_id, epoch=epoch, token=token)
    body = await read_body(request, bytes_max=RESULT_BYTES_MAX)
    try:
        frame = _RESULT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"not a result frame: {error}", code="message_malformed") from error
    if frame.attempt != request.path_params["attempt"]:
        raise InvalidError("path and frame name different attempts", code="attempt_mismatch", field="attempt")
    answer = await context.pool.run(services.results.accept, hive, frame, now_ms=now_ms())
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _credentials(request: Request) -> tuple[str, str, int]:
    scheme, _, token = request.headers.get(headers.AUTHORIZATION, "").partition(" ")
    hive, epoch = request.headers.get(headers.HIVE, ""), request.headers.get(headers.EPOCH, "")
    if scheme.lower() != "bearer" or not hive or _EPOCH.fullmatch(epoch) is None:
        raise UnauthenticatedError(
            f"expected a session's Bearer token, {headers.HIVE} and {headers.EPOCH}",
            code="credential_missing",
        )
    return token.strip(), hive, int(epoch)
