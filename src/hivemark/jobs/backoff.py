"""How long an execution waits before it is leased again."""

from typing import Final

FIRST_WAIT_MS: Final = 500
WAIT_GROWTH: Final = 4
WAIT_MAX_MS: Final = 30_000


def not_before_ms(attempts: int, now_ms: int) -> int:
    """The earliest next lease after `attempts` (at least 1) have ended: 0.5 s, 2 s, 8 s …, 30 s at most.

    Without jitter on purpose: leases are handed out one hive at a time, so nothing comes back in a herd.
    """
    assert attempts >= 1
    return now_ms + min(WAIT_MAX_MS, FIRST_WAIT_MS * int(WAIT_GROWTH ** (attempts - 1)))
