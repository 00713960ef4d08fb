"""What time does: leases run out, jobs pass their deadline."""

from typing import Final, Protocol

from hivemark.coordinator.ports import AttemptRow, HiveStore, JobStore, LeaseStore
from hivemark.coordinator.service.results import Results
from hivemark.fleet.leases import Patience

BATCH: Final = 200


class ReaperStores(JobStore, LeaseStore, HiveStore, Protocol):
    """The ports of the reaper."""


class Reaper:
    """Ends attempts whose lease has run out, and sees that each that ended has its entry in the log."""

    def __init__(self, *, store: ReaperStores, results: Results, lease_ttl_s: float) -> None:
        self._store = store
        self._results = results
        self._patience = Patience(int(lease_ttl_s * 1000))

    def step(self, now_ms: int) -> int:
        """End at most `BATCH` leases; answers how many attempts were ended or logged.

        After a start, or a stall of this process, hives first get the time to renew.
        """
        cut = self._results.log_cut(now_ms=now_ms, limit=BATCH)
        if not self._patience.is_over(now_ms):
            return cut
        expired = self._store.expired_attempts(now_ms=now_ms, limit=BATCH)
        return cut + sum(self.end_lost(attempt, reason="lease_expired", now_ms=now_ms) for attempt in expired)

    def end_attempt(self, attempt_id: str, *, reason: str, now_ms: int) -> bool:
        """As `end_lost`, by id; an attempt that has ended stays as it is."""
        attempt = self._store.attempt(attempt_id)
        if attempt is None or attempt.outcome is not None:
            return False
        return self.end_lost(attempt, reason=reason, now_ms=now_ms)

    def end_lost(self, attempt: AttemptRow, *, reason: str, now_ms: int) -> bool:
        """The hive is not working on this attempt any more; False when it had moved on by itself."""
        job, hive = self._results.facts.head(attempt.job), self._store.hive(attempt.hive)
        assert hive is not None, "an attempt has a hive"
        return self._results.end_without_receipt(
            attempt, job=job, hive=hive, outcome="lost", reason=reason, now_ms=now_ms
        )


class Deadlines:
    """Ends the cells that are left when a job's time is over."""

    def __init__(self, *, store: JobStore) -> None:
        self._store = store

    def step(self, now_ms: int) -> int:
        """End the queued cells of at most `BATCH` overdue jobs; answers how many jobs were touched."""
        return self._store.expire_jobs(now_ms=now_ms, limit=BATCH)
