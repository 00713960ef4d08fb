"""Gauges that are counted when someone looks, and at most once in a while."""

import threading
from typing import Final

from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.ports import Store
from hivemark.jobs.lifecycle import ExecutionState, JobState

FRESH_MS: Final = 2_000


class Census:
    """Brings the gauges of jobs, executions, hives and the log up to date."""

    def __init__(self, *, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._counted_ms: int | None = None
        self._lock = threading.Lock()

    def refresh(self, *, now_ms: int) -> None:
        """Count again unless that was done within `FRESH_MS`."""
        with self._lock:
            if self._counted_ms is not None and now_ms - self._counted_ms < FRESH_MS:
                return
            self._count()
            self._counted_ms = now_ms

    def _count(self) -> None:
        counts, log = self._store.counts(), self._store.log_state()
        for job_state in JobState:
            self._metrics.jobs.labels(state=job_state.value).set(counts.jobs.get(job_state, 0))
        for state in ExecutionState:
            self._metrics.executions.labels(state=state.value).set(counts.executions.get(state, 0))
        self._metrics.log_queue.set(counts.log_queue)
        self._metrics.log_size.set(log.published_size)
        self._metrics.log_backlog.set(log.size - log.published_size)
        self._metrics.hives_linked.set(sum(hive.linked for hive in self._store.hives()))
