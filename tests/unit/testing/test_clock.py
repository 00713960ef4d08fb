"""The clock that tests and the simulator turn by hand."""

import pytest

from hivemark.hive.clock import Clock
from hivemark.testing.clock import START_MS, FakeClock


def test_time_stands_still_until_it_is_moved() -> None:
    clock: Clock = FakeClock()
    assert (clock.now_ms(), clock.mono_us()) == (clock.now_ms(), clock.mono_us()) == (START_MS, 0)


def test_both_times_move_together() -> None:
    clock = FakeClock(now_ms=5)
    clock.advance(1_500)
    assert (clock.now_ms(), clock.mono_ms(), clock.mono_us()) == (1_505, 1_500, 1_500_000)


def test_putting_the_wall_clock_right_moves_nothing_else() -> None:
    clock = FakeClock(now_ms=10_000)
    clock.advance(100)
    clock.set_wall(7_000)
    assert (clock.now_ms(), clock.mono_ms()) == (7_000, 100)
    clock.advance(1)
    assert (clock.now_ms(), clock.mono_ms()) == (7_001, 101)


def test_time_never_runs_backwards() -> None:
    with pytest.raises(AssertionError):
        FakeClock().advance(-1)
