"""Where the stream of a hive meets the client of its call: a bounded buffer on the event loop."""

import asyncio
from collections import deque
from typing import Final

from hivemark.coordinator.service.held import HeldCall, Over

BUFFER_BYTES_MAX: Final = 262_144
TICK_S: Final = 1.0
SLOW_AFTER_S: Final = 60.0
"""A client that takes nothing for so long is not waited for."""


class Pipe:
    """One call's. The hive's side `put`s and waits for room; the client's side takes from `waiting`, and is
    woken by `more`. `closed` tells the hive's side that nobody reads on."""

    def __init__(self, call: HeldCall, more: asyncio.Event) -> None:
        self.call = call
        self.more = more
        self.waiting: deque[bytes] = deque()
        self.closed = asyncio.Event()
        self.whole: bytes | None = None
        """The answer of a call that is not streamed, once it has come."""
        self.answering: asyncio.Task[object] | None = None
        self.writing_since_s: float | None = None
        """When the client's side began to write what it still writes; event loop's clock."""
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    def begin(self, attempt: str) -> None:
        """Another attempt is heard: nothing of an earlier one was taken."""
        self.call.begin_attempt(attempt)
        self.waiting.clear()
        self._bytes = 0
        self._has_room.set()
        self.whole = None

    async def put(self, payload: bytes) -> None:
        """Hand an event over, and wait until there is room for another."""
        self.waiting.append(payload)
        self._bytes += len(payload)
        self.more.set()
        if self._bytes > BUFFER_BYTES_MAX:
            self._has_room.clear()
            await self._has_room.wait()

    def taken(self, payload: bytes) -> None:
        """The client was given this event."""
        self.call.relayed.gave()
        self._bytes -= len(payload)
        if self._bytes <= BUFFER_BYTES_MAX:
            self._has_room.set()

    async def drained(self) -> None:
        """Wait until the client was given everything, or nobody reads on."""
        while self.waiting or self.call.relayed.given < len(self.call.relayed.texts):
            if self.closed.is_set():
                return
            self._has_room.clear()
            await self._has_room.wait()

    def close(self, over: Over) -> None:
        """Nobody reads on."""
        self.call.over = self.call.over or over
        self.closed.set()
        self._has_room.set()
        self.more.set()


class Pipes:
    """Every call whose client this process holds, by execution."""

    def __init__(self) -> None:
        self._pipes: dict[str, Pipe] = {}

    def add(self, pipe: Pipe) -> None:
        """From now on hives can speak to it."""
        self._pipes[pipe.call.execution] = pipe

    def of(self, execution: str) -> Pipe | None:
        """The pipe of an execution."""
        return self._pipes.get(execution)

    def remove(self, pipe: Pipe) -> None:
        """Its client was answered, or is gone."""
        self._pipes.pop(pipe.call.execution, None)

    async def keep_ticking(self, stopping: asyncio.Event) -> None:
        """Wake every client's side once a second, and end those whose client takes nothing: one timer for
        all of them, since one for each event costs more than relaying it."""
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            await asyncio.sleep(TICK_S)
            for pipe in tuple(self._pipes.values()):
                pipe.more.set()
                began_s = pipe.writing_since_s
                if began_s is not None and loop.time() - began_s >= SLOW_AFTER_S:
                    pipe.close("client_too_slow")
                    if pipe.answering is not None:
                        pipe.answering.cancel()
        for pipe in tuple(self._pipes.values()):
            pipe.more.set()
