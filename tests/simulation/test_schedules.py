"""A thousand schedules of trouble, and every promise holds at the end of each.

A failing one is replayed, with its story, by `python -m hivemark.testing.simulator --seed N`.
"""

import pytest

from hivemark.testing.simulator.schedule import run_schedule

SCHEDULES = 1_000
LONG_SCHEDULES = 10_000
AT_ONCE = 25


@pytest.mark.parametrize("first", range(0, SCHEDULES, AT_ONCE))
def test_every_promise_holds_whatever_goes_wrong(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        outcome = run_schedule(seed)
        assert not outcome.problems, f"{outcome.story}\nschedule {seed}: {outcome.problems}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(SCHEDULES, SCHEDULES + LONG_SCHEDULES, AT_ONCE * 10))
def test_every_promise_holds_for_longer(first: int) -> None:
    for seed in range(first, first + AT_ONCE * 10):
        outcome = run_schedule(seed)
        assert not outcome.problems, f"{outcome.story}\nschedule {seed}: {outcome.problems}"


def test_a_seed_is_replayed_exactly() -> None:
    first, second, other = run_schedule(11), run_schedule(11), run_schedule(12)
    assert first == second
    assert first.story != other.story


def test_the_schedules_meet_what_they_are_for() -> None:
    """A simulator in which nothing goes wrong would prove nothing."""
    stories = "\n".join(run_schedule(seed).story for seed in range(60))
    for met in (
        "crashes: killed",
        "crashes: at a write: before database",
        "crashes: at a write: after database",
        "stalls for",
        "jumps by",
        "leaves while running",
        "is killed while running",
        "is stopped",
        "is cut off",
        "is full",
        "link_silent",
        "frame_missing",
        "outcome='late'",
        "outcome='duplicate'",
        "Stale()",
        "PutOff(",
        ": cancelled",
    ):
        assert met in stories, met
