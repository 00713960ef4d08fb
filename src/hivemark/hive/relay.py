"""The stream of one attempt to the replica that holds its client (docs/spec/link 7).

One outbound POST whose body grows as the engine speaks. Whoever sends waits while the other side does not
read; an answer that comes before the result says that nobody listens any more.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Final

import aiohttp

from hivemark.api.link import ResultAnswer
from hivemark.api.stream import KEEPALIVE_S, STREAM_TYPE, FrameKind, encode_frame
from hivemark.hive.results import ANSWER_BYTES_MAX, PostOutcome, PutOff, Refused, Stale, read_answer

BUFFER_BYTES_MAX: Final = 262_144
ANSWER_WITHIN_S: Final = 15.0
LOST_STREAM_CODES: Final = frozenset({"stream_lost", "session_stale", "link_lost"})
"""Ends of a stream that are nobody's wish."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10)

_log: Final = logging.getLogger(__name__)


class Relay:
    """`open` it, `send` frames, `finish` with the result; `over` is called once if nobody listens before."""

    def __init__(self, http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
        self._http = http
        self._url = url
        self._headers = {**headers, "Content-Type": STREAM_TYPE}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._has_more = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._finished = False
        self._posting: asyncio.Task[PostOutcome] | None = None
        self._over: Callable[[str], None] = lambda _code: None

    def open(self, over: Callable[[str], None]) -> None:
        """Begin the POST; `over` gets the code under which the other side ended it early."""
        self._over = over
        self._posting = asyncio.create_task(self._post(), name="relay")
        self._posting.add_done_callback(self._ended)

    @property
    def is_open(self) -> bool:
        """Whether somebody still listens, as far as is known."""
        return self._posting is not None and not self._posting.done()

    async def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        """Hand over a frame; waits while too much is on the way, and drops it once nobody listens."""
        if not self.is_open:
            return
        self._put(encode_frame(kind, payload))
        if not self._has_room.is_set():
            await self._has_room.wait()

    async def finish(self, result: bytes) -> PostOutcome:
        """Send the result as the last frame and read the answer; raises nothing."""
        if self._posting is None or self._posting.done():
            return PutOff("stream_over")
        self._put(encode_frame(FrameKind.RESULT, result))
        self._finished = True
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._posting
        except TimeoutError:
            return PutOff("answer_timeout")

    async def close(self) -> None:
        """Break the POST off if it still stands."""
        if self._posting is not None and not self._posting.done():
            self._finished = True
            self._posting.cancel()
            await asyncio.wait([self._posting])

    def _put(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        self._has_more.set()
        if self._waiting_bytes > BUFFER_BYTES_MAX:
            self._has_room.clear()

    async def _body(self) -> AsyncGenerator[bytes, None]:
        """What waits goes out in one piece; silence is filled with `ALIVE`."""
        yield encode_frame(FrameKind.ALIVE)  # so that the other side sees the stream at once
        while True:
            if not self._has_more.is_set() and not await self._more_within(KEEPALIVE_S):
                yield encode_frame(FrameKind.ALIVE)
                continue
            self._has_more.clear()
            frames, self._waiting = self._waiting, []
            self._waiting_bytes = 0
            self._has_room.set()
            yield b"".join(frames)
            if self._finished and not self._waiting:
                return

    async def _more_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._has_more.wait()
        except TimeoutError:
            return False

    async def _post(self) -> PostOutcome:
        try:
            async with self._http.post(
                self._url, data=self._body(), headers=self._headers, timeout=_TIMEOUT, allow_redirects=False
            ) as response:
                raw = await response.content.read(ANSWER_BYTES_MAX)
                return read_answer(response.status, raw, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return PutOff(f"stream_lost: {type(error).__name__}")
        finally:
            self._has_room.set()

    def _ended(self, posting: "asyncio.Task[PostOutcome]") -> None:
        if posting.cancelled() or self._finished:
            return
        outcome = posting.result()
        match outcome:
            case Refused(code):
                self._over(code)
            case Stale():
                self._over("session_stale")
            case PutOff(reason):
                _log.info("stream_lost", extra={"reason": reason})
                self._over("stream_lost")
            case ResultAnswer():
                self._over("stream_over")
