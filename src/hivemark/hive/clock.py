"""The two clocks of the agent: Unix time for statements, monotonic time for everything that waits."""

import time
from typing import Protocol


class Clock(Protocol):
    """Passed in, so that tests decide what time it is."""

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        ...

    def mono_us(self) -> int:
        """Microseconds that never run backwards; they count while the process is stopped."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def mono_us(self) -> int:
        return time.monotonic_ns() // 1_000
