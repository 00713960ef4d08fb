"""When a job is over, and how."""

from fractions import Fraction

import pytest

from hivemark.jobs.completion import final_event
from hivemark.jobs.lifecycle import FINAL_EXECUTION_STATES, ExecutionState, JobEvent

S = ExecutionState


def ended(
    cells: dict[S, int], *, rate: float = 0.67, regions: int = 1, cancelled: bool = False
) -> JobEvent | None:
    return final_event(
        cells, regions_completed=regions, min_success_rate=rate, min_regions=1, cancelled=cancelled
    )


@pytest.mark.parametrize("state", sorted(set(S) - FINAL_EXECUTION_STATES))
def test_a_job_is_not_over_while_a_cell_is_not(state: S) -> None:
    assert ended({S.COMPLETED: 99, state: 1}) is None
    assert ended({S.COMPLETED: 99, state: 1}, cancelled=True) is None
    assert ended({S.COMPLETED: 99, state: 0}) is JobEvent.COMPLETED


@pytest.mark.parametrize(
    ("completed", "others", "rate", "event"),
    [
        (67, 33, 0.67, JobEvent.COMPLETED),
        (66, 34, 0.67, JobEvent.FAILED),
        (2, 1, 0.67, JobEvent.FAILED),  # 0.6667 is less than 0.67
        (7, 3, 0.7, JobEvent.COMPLETED),
        (3, 7, 0.3, JobEvent.COMPLETED),
        (1, 0, 1.0, JobEvent.COMPLETED),
        (4_999, 1, 1.0, JobEvent.FAILED),
        (1, 4_999, 0.0, JobEvent.COMPLETED),
        (0, 10, 0.0, JobEvent.FAILED),
        (1, 9, 1e-7, JobEvent.COMPLETED),
    ],
)
def test_the_success_rate_is_exact(completed: int, others: int, rate: float, event: JobEvent) -> None:
    assert ended({S.COMPLETED: completed, S.DEAD: others}, rate=rate) is event


@pytest.mark.parametrize("hundredth", range(1, 101))
def test_the_rate_that_was_signed_is_reached_by_its_own_share(hundredth: int) -> None:
    rate = float(Fraction(hundredth, 100))
    cells = {S.COMPLETED: hundredth, S.FAILED: 100 - hundredth}
    assert ended(cells, rate=rate) is JobEvent.COMPLETED
    cells = {S.COMPLETED: hundredth - 1, S.FAILED: 101 - hundredth}
    assert ended(cells, rate=rate) is JobEvent.FAILED


def test_too_few_regions_fail_a_job() -> None:
    for succeeded, event in ((1, JobEvent.FAILED), (2, JobEvent.COMPLETED), (3, JobEvent.COMPLETED)):
        assert (
            final_event(
                {S.COMPLETED: 9},
                regions_completed=succeeded,
                min_success_rate=0.5,
                min_regions=2,
                cancelled=False,
            )
            is event
        )


def test_a_cancelled_job_is_cancelled_whatever_it_reached() -> None:
    assert ended({S.COMPLETED: 9, S.CANCELLED: 1}, cancelled=True) is JobEvent.CANCELLED
    assert ended({S.COMPLETED: 10}, cancelled=True) is JobEvent.CANCELLED
