"""Hints inside one process: tasks wait on topics, services notify from any thread."""

import asyncio
from collections import defaultdict
from types import TracebackType
from typing import Self


class Waiter:
    """One task's interest in some topics; use as a context manager."""

    def __init__(self, wakeups: "Wakeups", topics: tuple[str, ...]) -> None:
        self._wakeups = wakeups
        self._topics = topics
        self.event = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until something was announced since the last call, or the time is over; which it was."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.event.wait()
        except TimeoutError:
            return False
        self.event.clear()
        return True

    def __enter__(self) -> Self:
        for topic in self._topics:
            self._wakeups.waiters[topic].add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for topic in self._topics:
            waiting = self._wakeups.waiters[topic]
            waiting.discard(self)
            if not waiting:
                del self._wakeups.waiters[topic]


class Wakeups:
    """Implements `service.hints.Hints` on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.waiters: dict[str, set[Waiter]] = defaultdict(set)

    def notify(self, topic: str) -> None:
        """Wake whoever waits for `topic`; from any thread, also while the loop is ending."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, topic)

    def waiter(self, *topics: str) -> Waiter:
        """For `with`: what is announced inside is not missed."""
        return Waiter(self, topics)

    def wake_all(self) -> None:
        """Wake everyone, as at the end of the process."""
        for topic in list(self.waiters):
            self._wake(topic)

    def _wake(self, topic: str) -> None:
        for waiter in self.waiters.get(topic, ()):
            waiter.event.set()
