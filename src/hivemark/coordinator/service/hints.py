"""Wake-ups: hints that something changed. Losing one loses time, never work."""

from typing import Final, Protocol

QUEUE: Final = "queue"
LOG: Final = "log"


def of_job(job_id: str) -> str:
    """The topic of one job's event stream."""
    return f"job:{job_id}"


def of_hive(hive_id: str) -> str:
    """The topic of one hive's link: a slot is free, or an attempt was called off."""
    return f"hive:{hive_id}"


def of_call(execution_id: str) -> str:
    """The topic of one call: it has ended, or was called off."""
    return f"call:{execution_id}"


def of_key(key_id: str) -> str:
    """The topic of one API key: it was revoked."""
    return f"key:{key_id}"


class Hints(Protocol):
    """Where services announce changes; may be called from any thread."""

    def notify(self, topic: str) -> None: ...


class NoHints:
    """For callers that poll, such as the simulator."""

    def notify(self, topic: str) -> None:
        """Nobody waits."""
