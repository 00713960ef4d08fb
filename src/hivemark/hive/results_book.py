"""Which results wait for delivery and when each is tried next: the pure half of the outbox."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from hivemark.api.link import HeldAttempt
from hivemark.hive.backoff import jittered_ms

POSTS_AT_ONCE_MAX: Final = 8
RETRY_FIRST_MS: Final = 500
RETRY_MAX_MS: Final = 30_000


@dataclass(slots=True)
class _Waiting:
    lease_version: int
    url: str
    tries: int = 0
    due_ms: int = 0
    posting: bool = False
    stale_epoch: int | None = None


class ResultsBook:
    """Results by attempt, in the order in which they were finished. Times are monotonic milliseconds."""

    def __init__(self, *, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._waiting: dict[str, _Waiting] = {}
        self._posting = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._waiting

    def add(self, attempt: str, *, lease_version: int, url: str) -> None:
        """A result that stands durably in the outbox."""
        self._waiting[attempt] = _Waiting(lease_version, url)

    def held(self) -> Iterator[HeldAttempt]:
        """As the coordinator is told of them."""
        for attempt, waiting in self._waiting.items():
            yield HeldAttempt(attempt=attempt, lease_version=waiting.lease_version, finished=True)

    def take_due(self, *, mono_ms: int, epoch: int) -> Iterable[tuple[str, str]]:
        """(attempt, url) of results to post now; each is in flight until answered."""
        for attempt, waiting in self._waiting.items():
            if self._posting >= POSTS_AT_ONCE_MAX:
                return
            if waiting.posting or waiting.due_ms > mono_ms or waiting.stale_epoch == epoch:
                continue
            waiting.posting = True
            self._posting += 1
            yield attempt, waiting.url

    def remove(self, attempt: str) -> bool:
        """Forget a result; False when it is not here."""
        waiting = self._waiting.pop(attempt, None)
        if waiting is not None and waiting.posting:
            self._posting -= 1
        return waiting is not None

    def put_off(self, attempt: str, *, mono_ms: int, after_ms: int | None = None) -> None:
        """The post failed for now; try again later, each time a longer while."""
        waiting = self._back(attempt)
        if waiting is None:
            return
        waiting.tries += 1
        delay_ms = jittered_ms(waiting.tries, RETRY_FIRST_MS, RETRY_MAX_MS, random=self._random)
        waiting.due_ms = mono_ms + max(delay_ms, after_ms or 0)

    def wait_for_epoch_after(self, attempt: str, epoch: int) -> None:
        """This epoch's token no longer opens the door; try again on the next link."""
        waiting = self._back(attempt)
        if waiting is not None:
            waiting.stale_epoch = epoch

    def _back(self, attempt: str) -> _Waiting | None:
        waiting = self._waiting.get(attempt)
        if waiting is not None and waiting.posting:
            waiting.posting = False
            self._posting -= 1
        return waiting
