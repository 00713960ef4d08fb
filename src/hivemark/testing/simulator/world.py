"""Simulated time and chance: one queue of events, one seed, one trace.

Everything that happens is an event at a millisecond; events of the same millisecond happen in the order in
which they were planned. Whoever draws from chance has an own stream, so that one more draw in one part of
the simulator leaves the others as they were.
"""

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from hivemark.testing.clock import FakeClock

TRACE_LINES_MAX: Final = 20_000


class World:
    """Time, chance and the record of what happened."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clock = FakeClock()
        self.trace: deque[tuple[int, str, str]] = deque(maxlen=TRACE_LINES_MAX)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0

    def random(self, stream: str) -> Random:
        """The stream of chance of this name: the same for the same seed."""
        return Random(f"{self.seed}/{stream}")

    def after(self, delay_ms: int, event: Callable[[], None]) -> None:
        """Plan an event."""
        assert delay_ms >= 0
        self._planned += 1
        heapq.heappush(self._events, (self.clock.mono_ms() + delay_ms, self._planned, event))

    def every(self, period_ms: int, event: Callable[[], None]) -> None:
        """Plan an event again and again, from one period on."""

        def again() -> None:
            event()
            self.after(period_ms, again)

        self.after(period_ms, again)

    def run(
        self, *, until_ms: int, is_over: Callable[[], bool] | None = None, look_every_ms: int = 500
    ) -> None:
        """Let events happen until this monotonic time, or until `is_over`, asked twice a second."""
        look_at_ms = self.clock.mono_ms()
        while self._events and self._events[0][0] <= until_ms:
            at_ms, _, event = heapq.heappop(self._events)
            self.clock.advance(at_ms - self.clock.mono_ms())
            event()
            if is_over is not None and at_ms >= look_at_ms:
                look_at_ms = at_ms + look_every_ms
                if is_over():
                    return
        self.clock.advance(max(0, until_ms - self.clock.mono_ms()))

    def note(self, who: str, what: str) -> None:
        """One line of the trace."""
        self.trace.append((self.clock.mono_ms(), who, what))

    def story(self) -> str:
        """The trace as text: seconds, who, what."""
        return "\n".join(f"{at_ms / 1000:9.3f}  {who:<12} {what}" for at_ms, who, what in self.trace)
