"""Runs `step(now) -> work done` again and again, in the pool, until the process ends.

A loop that found work looks again at once; one that found none waits for a hint or its interval. A step that
fails is logged and counted, and tried again after a pause that grows; it never ends the loop.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.pool import Pool
from hivemark.coordinator.wakeups import Wakeups
from hivemark.errors import HivemarkError, Kind

PAUSE_S: Final = 0.5
PAUSE_MAX_S: Final = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop: its step, the topics that wake it, and how long it sleeps without a hint. `rest_s` passes
    between two steps that found work, so that the next one finds a batch. `report` hears of every step: None,
    or how it failed.
    """

    name: str
    step: Callable[[int], int]
    interval_s: float
    topics: tuple[str, ...] = ()
    rest_s: float = 0.0
    report: Callable[[Exception | None], None] | None = None


class LoopRunner:
    """Owner of one loop's task; `run` ends when `stopping` is set and the step under way has ended."""

    def __init__(
        self, loop: Loop, *, pool: Pool, wakeups: Wakeups, metrics: Metrics, stopping: asyncio.Event
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._wakeups = wakeups
        self._metrics = metrics
        self._stopping = stopping
        self._failures = 0

    async def run(self) -> None:
        """Until the process ends."""
        with self._wakeups.waiter(*self._loop.topics) as waiter:
            while not self._stopping.is_set():
                worked = await self._step()
                if self._failures:
                    await self._pause(min(PAUSE_MAX_S, PAUSE_S * 2 ** min(self._failures - 1, 10)))
                elif not worked:
                    await waiter.wait(self._loop.interval_s)
                elif self._loop.rest_s:
                    await self._pause(self._loop.rest_s)

    async def _step(self) -> int:
        try:
            worked = await self._pool.run(self._loop.step, now_ms())
        except Exception as error:  # noqa: BLE001 - a loop survives whatever a step raises, and says so
            self._failures += 1
            self._metrics.loop_failures.labels(loop=self._loop.name).inc()
            self._log_failure(error)
            self._report(error)
            return 0
        self._failures = 0
        self._report(None)
        self._metrics.loop_work.labels(loop=self._loop.name).inc(worked)
        return worked

    def _log_failure(self, error: Exception) -> None:
        """A failure that has a name needs no trace: where it comes from is known, what to do is its hint."""
        about = {"loop": self._loop.name, "failures": self._failures}
        if isinstance(error, HivemarkError) and error.kind is not Kind.INTERNAL:
            _log.error("loop_failed", code=error.code, why=str(error), hint=error.hint, **about)
        else:
            _log.error("loop_failed", exc_info=error, **about)

    def _report(self, failure: Exception | None) -> None:
        if self._loop.report is not None:
            self._loop.report(failure)

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return
