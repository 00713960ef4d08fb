"""The life cycles, over all pairs of state and event."""

from itertools import product
from pathlib import Path

import pytest

from hivemark.jobs.lifecycle import (
    ATTEMPTS_MAX,
    EXECUTION_TRANSITIONS,
    FINAL_EXECUTION_STATES,
    FINAL_JOB_STATES,
    JOB_TRANSITIONS,
    ExecutionEvent,
    ExecutionState,
    IllegalTransition,
    JobEvent,
    JobState,
    after_execution,
    after_job,
    diagram,
    event_after_attempt,
)


@pytest.mark.parametrize(("state", "event"), list(product(JobState, JobEvent)))
def test_a_job_moves_by_its_table_or_not_at_all(state: JobState, event: JobEvent) -> None:
    if (state, event) in JOB_TRANSITIONS:
        assert after_job(state, event) is JOB_TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot meet {event}"):
            after_job(state, event)


@pytest.mark.parametrize(("state", "event"), list(product(ExecutionState, ExecutionEvent)))
def test_an_execution_moves_by_its_table_or_not_at_all(state: ExecutionState, event: ExecutionEvent) -> None:
    if (state, event) in EXECUTION_TRANSITIONS:
        assert after_execution(state, event) is EXECUTION_TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot meet {event}"):
            after_execution(state, event)


def test_the_final_states_are_those_of_the_design() -> None:
    assert {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED} == FINAL_JOB_STATES
    assert {
        ExecutionState.COMPLETED,
        ExecutionState.FAILED,
        ExecutionState.DEAD,
        ExecutionState.CANCELLED,
    } == FINAL_EXECUTION_STATES


def test_every_state_is_reached_and_a_final_one_is_always_within_reach() -> None:
    reached = {JobState.CREATED, *JOB_TRANSITIONS.values()}
    assert reached == set(JobState)
    assert {ExecutionState.QUEUED, *EXECUTION_TRANSITIONS.values()} == set(ExecutionState)
    for state in set(ExecutionState) - FINAL_EXECUTION_STATES:
        for way_out in (ExecutionEvent.CANCELLED, ExecutionEvent.DEADLINE_PASSED):
            assert after_execution(state, way_out) in FINAL_EXECUTION_STATES


def test_names_in_the_event_stream_are_never_shared() -> None:
    names = [*JobEvent, *ExecutionEvent]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("event", [ExecutionEvent.FAILED_TRANSIENT, ExecutionEvent.LEASE_LOST])
def test_only_the_last_attempt_exhausts_an_execution(event: ExecutionEvent) -> None:
    happened = [event_after_attempt(event, attempts) for attempts in range(1, ATTEMPTS_MAX + 1)]
    assert happened == [event, event, ExecutionEvent.ATTEMPTS_EXHAUSTED]


def test_a_success_or_a_permanent_failure_stands_at_the_last_attempt() -> None:
    for event in (ExecutionEvent.SUCCEEDED, ExecutionEvent.FAILED_PERMANENT, ExecutionEvent.CANCELLED):
        assert event_after_attempt(event, ATTEMPTS_MAX) is event


def test_the_diagram_draws_every_move_once() -> None:
    drawn = diagram()
    for (before, event), after in {**JOB_TRANSITIONS, **EXECUTION_TRANSITIONS}.items():
        arrows = [line for line in drawn.splitlines() if f" {before} --> {after}: " in line]
        assert sum(line.count(event) for line in arrows) >= 1
    assert drawn.count("stateDiagram-v2") == 2
    assert "    completed --> [*]" in drawn


def test_the_specification_shows_the_diagram() -> None:
    page = (Path(__file__).parents[3] / "docs/spec/lifecycles.md").read_text()
    assert all(part.strip() in page for part in diagram().split("\n\n"))
