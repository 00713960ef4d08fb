"""Time-outs of a running attempt. Time in which this process did not run is not held against the engine."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from hivemark.hive.clock import Clock
from hivemark.hive.failure import EngineFailure, Stage

STEP_S: Final = 0.25
ASLEEP_AFTER_S: Final = 1.0
"""Waking up this much too late means that the whole process was stopped, or the machine slept."""


class Watch:
    """Deadlines of one attempt on the monotonic clock: the whole run, and the engine's next sign."""

    def __init__(self, clock: Clock, *, run_s: float, first_token_s: float, stall_s: float) -> None:
        self._clock = clock
        self._run_until_s = self._now_s() + run_s
        self._first_token_s = first_token_s
        self._stall_s = stall_s
        self._sign_until_s: float | None = None
        self._stage = Stage.LOAD
        self._expired: EngineFailure | None = None
        self._is_paused = False

    def asked(self) -> None:
        """The request is on its way; the first token is waited for."""
        self._stage = Stage.FIRST_TOKEN
        self._sign_until_s = self._now_s() + self._first_token_s

    def whole(self) -> None:
        """The answer comes in one piece: there is no first token to wait for, only the whole run."""
        self._sign_until_s = None

    def progressed(self) -> None:
        """A token came; the next one is waited for."""
        self._stage = Stage.STREAM
        self._sign_until_s = self._now_s() + self._stall_s

    def end(self, failure: EngineFailure) -> None:
        """End the attempt from outside; whoever is guarded gets `failure` within `STEP_S`."""
        self._expired = self._expired or failure

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time in which the reader of the answer is waited for is not held against the engine."""
        before_s = self._now_s()
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False
            if self._sign_until_s is not None:
                self._sign_until_s += self._now_s() - before_s

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """End the body with `EngineFailure` when a deadline passes."""
        try:
            async with asyncio.timeout(None) as limit:
                watcher = asyncio.create_task(self._enforce(limit))
                try:
                    yield
                finally:
                    watcher.cancel()
        except TimeoutError:
            if self._expired is None:
                raise
            raise self._expired from None

    async def _enforce(self, limit: asyncio.Timeout) -> None:
        """Look at the deadlines in small steps: a step that took far too long moves them all."""
        while self._expired is None:
            before_s = self._now_s()
            await asyncio.sleep(STEP_S)
            asleep_s = self._now_s() - before_s - STEP_S
            if asleep_s > ASLEEP_AFTER_S:
                self._put_off(asleep_s)
            self._expired = self._expired or self._failure_at(self._now_s())
        limit.reschedule(asyncio.get_running_loop().time())

    def _put_off(self, seconds: float) -> None:
        self._run_until_s += seconds
        if self._sign_until_s is not None:
            self._sign_until_s += seconds

    def _failure_at(self, now_s: float) -> EngineFailure | None:
        if now_s >= self._run_until_s:
            message = "the time allowed for the whole attempt is over"
            return EngineFailure(self._stage, "run_timeout", message, at_fault=False)
        if self._is_paused or self._sign_until_s is None or now_s < self._sign_until_s:
            return None
        if self._stage is Stage.FIRST_TOKEN:
            message = f"no token within {self._first_token_s:g} s"
            return EngineFailure(self._stage, "first_token_timeout", message)
        return EngineFailure(self._stage, "stalled", f"no further token within {self._stall_s:g} s")

    def _now_s(self) -> float:
        return self._clock.mono_us() / 1_000_000
