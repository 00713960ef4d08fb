"""A clock that stands still until it is told to move."""

from typing import Final

START_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class FakeClock:
    """Unix and monotonic time, both moved by `advance`; wall time alone by `set_wall`, as NTP does it."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._mono_us = 0
        self._wall_offset_us = now_ms * 1_000

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return (self._wall_offset_us + self._mono_us) // 1_000

    def mono_us(self) -> int:
        """Microseconds since this clock was made."""
        return self._mono_us

    def mono_ms(self) -> int:
        """Milliseconds since this clock was made."""
        return self._mono_us // 1_000

    def advance(self, milliseconds: int) -> None:
        """Time passes. It never runs backwards."""
        assert milliseconds >= 0
        self._mono_us += milliseconds * 1_000

    def set_wall(self, now_ms: int) -> None:
        """The wall clock was put right; monotonic time does not notice."""
        self._wall_offset_us = now_ms * 1_000 - self._mono_us
