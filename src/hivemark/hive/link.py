"""The WebSocket under the link: text frames in and out, nothing decided here."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import aiohttp

from hivemark.api.link import FRAME_BYTES_MAX, LINK_PATH

CONNECT_TIMEOUT_S: Final = 10.0
SEND_TIMEOUT_S: Final = 10.0
UNSENT_MAX: Final = 4_096

_log: Final = logging.getLogger(__name__)


class LinkSocket:
    """One connection at a time. `send` and `close` do not wait; `run` returns when the connection is gone."""

    def __init__(self, http: aiohttp.ClientSession, *, base_url: str) -> None:
        self._http = http
        self._url = base_url + LINK_PATH
        self._unsent: asyncio.Queue[bytes | None] = asyncio.Queue(UNSENT_MAX)

    def send(self, text: bytes) -> None:
        """Queue a frame. A queue that is full means a dead connection: it is closed."""
        try:
            self._unsent.put_nowait(text)
        except asyncio.QueueFull:
            self.close()

    def close(self) -> None:
        """Send what is queued, then close."""
        while self._unsent.full():
            self._unsent.get_nowait()
        self._unsent.put_nowait(None)

    async def run(self, *, opened: Callable[[], None], received: Callable[[bytes], None]) -> None:
        """Connect, pass frames on, return when it is over; failing to connect is one way to be over."""
        self._unsent = asyncio.Queue(UNSENT_MAX)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await self._http.ws_connect(
                    self._url, max_msg_size=FRAME_BYTES_MAX, autoping=True, compress=0
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.info("link_unreachable", extra={"reason": f"{type(error).__name__}: {error}"})
            return
        async with socket:
            opened()
            await self._exchange(socket, received)

    async def _exchange(
        self, socket: aiohttp.ClientWebSocketResponse, received: Callable[[bytes], None]
    ) -> None:
        tasks = [
            asyncio.create_task(self._read(socket, received), name="link-read"),
            asyncio.create_task(self._write(socket), name="link-write"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, (aiohttp.ClientError, OSError, TimeoutError)):
                _log.info("link_broken", extra={"reason": f"{type(result).__name__}: {result}"})
            elif isinstance(result, Exception):
                raise result

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, received: Callable[[bytes], None]) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                _log.warning("link_not_text", extra={"kind": message.type.name})
                return
            received(message.data.encode())

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while (text := await self._unsent.get()) is not None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await socket.send_str(text.decode())
