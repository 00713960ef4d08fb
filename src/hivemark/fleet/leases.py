"""How long a lease holds, and what becomes of the attempts of a hive that has come back.

A lease is renewed by every heartbeat that names it, so it outlives four lost heartbeats but not a dead hive.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

LEASE_TTL_S: Final = 15
HEARTBEAT_S: Final = 3
LINK_LOST_AFTER_S: Final = 10
"""A link silent for this long is lost: both ends close it. Chat attempts end, job attempts go on."""
SILENT_AFTER_MS: Final = 5_000
"""A keeper of leases that did not step for so long has been stopped: heartbeats may wait unread."""


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that a hive says it holds; `finished` when its receipt waits to be delivered."""

    attempt: str
    lease_version: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a hive that has come back is told (`proceed`, `drop`), and which of its leases are gone
    (`lost`), each in the order given."""

    proceed: tuple[str, ...]
    drop: tuple[str, ...]
    lost: tuple[str, ...]


def reconcile(held: Iterable[Held], open_attempts: Mapping[str, int]) -> Reconciliation:
    """Compare what a hive holds with its open attempts (id → lease version).

    A finished attempt always proceeds: its receipt is wanted even when the lease has moved, as `late`.
    What is open and not held was lost with the connection. Only a hive's complete list may be compared: a
    heartbeat crosses new leases on the way, a `Reconcile` cannot.
    """
    held = tuple(held)
    goes_on = {
        item.attempt: item.finished or open_attempts.get(item.attempt) == item.lease_version for item in held
    }
    current = {item.attempt for item in held if open_attempts.get(item.attempt) == item.lease_version}
    return Reconciliation(
        proceed=tuple(attempt for attempt, on in goes_on.items() if on),
        drop=tuple(attempt for attempt, on in goes_on.items() if not on),
        lost=tuple(attempt for attempt in open_attempts if attempt not in current),
    )


class Patience:
    """Whether the keeper of leases may end them: not before hives had a lease's time to renew, once it has
    started, or has been stopped or unable to write itself. Its own silence is no hive's fault, and a mass
    loss of heartbeats must not restart the fleet.
    """

    __slots__ = ("_from_ms", "_seen_ms", "_ttl_ms")

    def __init__(self, ttl_ms: int = LEASE_TTL_S * 1_000) -> None:
        self._ttl_ms = ttl_ms
        self._seen_ms: int | None = None
        self._from_ms = 0

    def is_over(self, now_ms: int) -> bool:
        """Ask at every step that could write, and only then: a gap between two of them counts as silence."""
        silent = self._seen_ms is None or not 0 <= now_ms - self._seen_ms <= SILENT_AFTER_MS
        if silent:
            self._from_ms = now_ms + self._ttl_ms
        self._seen_ms = now_ms
        return now_ms >= self._from_ms
