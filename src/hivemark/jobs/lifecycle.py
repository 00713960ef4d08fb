"""The two life cycles, each as one table; SQL checks, API enums, diagrams and tests derive from them.

The value of an event is the name under which it stands in a job's event stream.
"""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Final, TypeVar

from hivemark.errors import ConflictError

_S = TypeVar("_S", bound=StrEnum)
_E = TypeVar("_E", bound=StrEnum)

ATTEMPTS_MAX: Final = 3


class JobState(StrEnum):
    """Where a job stands."""

    CREATED = "created"
    ENQUEUED = "enqueued"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ExecutionState(StrEnum):
    """Where an execution stands. `failed` is permanent, `dead` means that transient faults used up every
    attempt."""

    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """What happened to a job."""

    ENQUEUED = "job_enqueued"
    STARTED = "job_started"
    COMPLETED = "job_completed"
    FAILED = "job_failed"
    CANCELLED = "job_cancelled"


class ExecutionEvent(StrEnum):
    """What happened to an execution."""

    LEASE_GRANTED = "execution_leased"
    STARTED = "execution_started"
    SUCCEEDED = "execution_completed"
    FAILED_PERMANENT = "execution_failed"
    FAILED_TRANSIENT = "execution_attempt_failed"
    LEASE_LOST = "execution_lease_lost"
    ATTEMPTS_EXHAUSTED = "execution_dead"
    CANCELLED = "execution_cancelled"
    DEADLINE_PASSED = "execution_deadline_passed"


JOB_CREATED: Final = "job_created"
"""Name of a job's first event row: the birth in `JobState.CREATED`, which is no move."""

JOB_TRANSITIONS: Final[Mapping[tuple[JobState, JobEvent], JobState]] = {
    (JobState.CREATED, JobEvent.ENQUEUED): JobState.ENQUEUED,
    (JobState.CREATED, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.ENQUEUED, JobEvent.STARTED): JobState.EXECUTING,
    (JobState.ENQUEUED, JobEvent.FAILED): JobState.FAILED,  # the deadline passed before any lease
    (JobState.ENQUEUED, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.EXECUTING, JobEvent.COMPLETED): JobState.COMPLETED,
    (JobState.EXECUTING, JobEvent.FAILED): JobState.FAILED,
    (JobState.EXECUTING, JobEvent.CANCELLED): JobState.CANCELLED,
}

# A result may overtake the hive's `started` message: the two travel on different connections.
EXECUTION_TRANSITIONS: Final[Mapping[tuple[ExecutionState, ExecutionEvent], ExecutionState]] = {
    (ExecutionState.QUEUED, ExecutionEvent.LEASE_GRANTED): ExecutionState.LEASED,
    (ExecutionState.QUEUED, ExecutionEvent.CANCELLED): ExecutionState.CANCELLED,
    (ExecutionState.QUEUED, ExecutionEvent.DEADLINE_PASSED): ExecutionState.FAILED,
    (ExecutionState.LEASED, ExecutionEvent.STARTED): ExecutionState.RUNNING,
    (ExecutionState.LEASED, ExecutionEvent.SUCCEEDED): ExecutionState.COMPLETED,
    (ExecutionState.LEASED, ExecutionEvent.FAILED_PERMANENT): ExecutionState.FAILED,
    (ExecutionState.LEASED, ExecutionEvent.FAILED_TRANSIENT): ExecutionState.QUEUED,
    (ExecutionState.LEASED, ExecutionEvent.LEASE_LOST): ExecutionState.QUEUED,
    (ExecutionState.LEASED, ExecutionEvent.ATTEMPTS_EXHAUSTED): ExecutionState.DEAD,
    (ExecutionState.LEASED, ExecutionEvent.CANCELLED): ExecutionState.CANCELLED,
    (ExecutionState.LEASED, ExecutionEvent.DEADLINE_PASSED): ExecutionState.FAILED,
    (ExecutionState.RUNNING, ExecutionEvent.SUCCEEDED): ExecutionState.COMPLETED,
    (ExecutionState.RUNNING, ExecutionEvent.FAILED_PERMANENT): ExecutionState.FAILED,
    (ExecutionState.RUNNING, ExecutionEvent.FAILED_TRANSIENT): ExecutionState.QUEUED,
    (ExecutionState.RUNNING, ExecutionEvent.LEASE_LOST): ExecutionState.QUEUED,
    (ExecutionState.RUNNING, ExecutionEvent.ATTEMPTS_EXHAUSTED): ExecutionState.DEAD,
    (ExecutionState.RUNNING, ExecutionEvent.CANCELLED): ExecutionState.CANCELLED,
    (ExecutionState.RUNNING, ExecutionEvent.DEADLINE_PASSED): ExecutionState.FAILED,
}

FINAL_JOB_STATES: Final = frozenset(
    state for state in JobState if not any(before is state for before, _ in JOB_TRANSITIONS)
)
FINAL_EXECUTION_STATES: Final = frozenset(
    state for state in ExecutionState if not any(before is state for before, _ in EXECUTION_TRANSITIONS)
)


class IllegalTransition(ConflictError):
    """The life cycle has no such move."""


def after_job(state: JobState, event: JobEvent) -> JobState:
    """The state of a job once `event` has happened; raises `IllegalTransition`."""
    try:
        return JOB_TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a job that is {state} cannot meet {event}", code="illegal_move") from None


def after_execution(state: ExecutionState, event: ExecutionEvent) -> ExecutionState:
    """The state of an execution once `event` has happened; raises `IllegalTransition`."""
    try:
        return EXECUTION_TRANSITIONS[state, event]
    except KeyError:
        message = f"an execution that is {state} cannot meet {event}"
        raise IllegalTransition(message, code="illegal_move") from None


def event_after_attempt(event: ExecutionEvent, attempts: int) -> ExecutionEvent:
    """What really happened when attempt number `attempts` ended with `event`: a transient failure or a lost
    lease of the last attempt exhausts the execution; every other event stands."""
    retried = event in (ExecutionEvent.FAILED_TRANSIENT, ExecutionEvent.LEASE_LOST)
    return ExecutionEvent.ATTEMPTS_EXHAUSTED if retried and attempts >= ATTEMPTS_MAX else event


def diagram() -> str:
    """Both life cycles as Mermaid state diagrams, in the order of the tables."""
    return "\n".join(
        [
            "%% job",
            *_mermaid(JobState.CREATED, JOB_TRANSITIONS, FINAL_JOB_STATES),
            "",
            "%% execution",
            *_mermaid(ExecutionState.QUEUED, EXECUTION_TRANSITIONS, FINAL_EXECUTION_STATES),
            "",
        ]
    )


def _mermaid(first: _S, moves: Mapping[tuple[_S, _E], _S], final: frozenset[_S]) -> list[str]:
    """The moves between two states share one arrow, so that the drawing stays readable."""
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    for before, after in product(type(first), repeat=2):
        names = [event.value for (state, event), then in moves.items() if (state, then) == (before, after)]
        if names:
            lines.append(f"    {before} --> {after}: {', '.join(names)}")
    lines.extend(f"    {state} --> [*]" for state in type(first) if state in final)
    return lines
