"""When a job is over, and how it ended."""

from collections.abc import Mapping
from fractions import Fraction

from hivemark.jobs.lifecycle import FINAL_EXECUTION_STATES, ExecutionState, JobEvent


def final_event(
    cells: Mapping[ExecutionState, int],
    *,
    regions_completed: int,
    min_success_rate: float,
    min_regions: int,
    cancelled: bool,
) -> JobEvent | None:
    """What ends the job, or None while a cell is not final.

    `cells` counts cells by state, `regions_completed` the regions with at least one success. A job that was
    cancelled is cancelled whatever its cells had reached. Without any success a job has failed, even where a
    rate of 0 was asked for.
    """
    if any(count for state, count in cells.items() if state not in FINAL_EXECUTION_STATES):
        return None
    if cancelled:
        return JobEvent.CANCELLED
    completed, total = cells.get(ExecutionState.COMPLETED, 0), sum(cells.values())
    # The decimal that was signed counts, not its binary neighbour: 7 of 10 reach 0.7.
    enough = completed > 0 and Fraction(completed, total) >= Fraction(repr(min_success_rate))
    return JobEvent.COMPLETED if enough and regions_completed >= min_regions else JobEvent.FAILED
