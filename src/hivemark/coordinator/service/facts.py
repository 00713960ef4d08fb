"""What never changes of a job, read once: results and reaper need it for every attempt."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from hivemark.coordinator.ports import JobHead, JobStore

_JOBS_KEPT: Final = 1_024


class JobFacts:
    """Heads of jobs that are busy. Only what is fixed at submission may be read from them: state, version and
    the times after it may have moved on."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._heads: OrderedDict[str, JobHead] = OrderedDict()
        self._lock = Lock()

    def remember(self, head: JobHead) -> None:
        """Spare the next reader of a new job the reading."""
        with self._lock:
            self._heads[head.id] = head
            while len(self._heads) > _JOBS_KEPT:
                self._heads.popitem(last=False)

    def head(self, job_id: str) -> JobHead:
        """The job of an attempt; there is always one."""
        with self._lock:
            if (known := self._heads.get(job_id)) is not None:
                self._heads.move_to_end(job_id)
                return known
        head = self._store.job(job_id)
        assert head is not None, "an attempt has a job"
        self.remember(head)
        return head
