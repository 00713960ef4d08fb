"""How much may be asked for in a minute: a token bucket, exact in integers; time comes from outside.

A bucket holds a minute's worth and fills evenly. What is asked for may take more than is in it only when the
bucket is full: then it goes into debt and the next ones wait, so that a request larger than a minute's worth
is possible and the mean still holds.
"""

from dataclasses import dataclass
from typing import Final

MINUTE_MS: Final = 60_000
_CLOCK_SLACK_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """`level` counts 1/60,000 of a unit, so that a millisecond adds `per_minute` to it; negative: a debt."""

    per_minute: int
    level: int
    at_ms: int

    @property
    def remaining(self) -> int:
        """Whole units that may be taken at `at_ms`."""
        return max(0, self.level // MINUTE_MS)

    @property
    def reset_ms(self) -> int:
        """How long until the bucket is full, if nothing is taken."""
        return _ceil_div(self._capacity - self.level, self.per_minute)

    def wait_ms(self, amount: int) -> int:
        """How long until `amount` may be taken; 0: at once."""
        missing = min(amount * MINUTE_MS, self._capacity) - self.level
        return max(0, _ceil_div(missing, self.per_minute))

    def taken(self, amount: int) -> "Bucket":
        """After `amount` was taken, or given back when negative; whether it may be is `wait_ms`'s matter."""
        level = min(self._capacity, self.level - amount * MINUTE_MS)
        return Bucket(self.per_minute, level, self.at_ms)

    def filled(self, now_ms: int) -> "Bucket":
        """At `now_ms`. Readings a little older than the last change nothing; a clock that was set back
        starts the filling anew."""
        if self.at_ms - _CLOCK_SLACK_MS <= now_ms <= self.at_ms:
            return self
        elapsed_ms = max(0, now_ms - self.at_ms)
        return Bucket(self.per_minute, min(self._capacity, self.level + elapsed_ms * self.per_minute), now_ms)

    @property
    def _capacity(self) -> int:
        return self.per_minute * MINUTE_MS


def full_bucket(per_minute: int, *, now_ms: int) -> Bucket:
    """As a limit begins; `per_minute` is positive."""
    assert per_minute > 0, f"not a limit: {per_minute}"
    return Bucket(per_minute, per_minute * MINUTE_MS, now_ms)


def _ceil_div(number: int, by: int) -> int:
    return -(-number // by)
