"""Deadlines of an attempt, on a clock that the test moves."""

import asyncio

import pytest

from hivemark.hive import watch as watching
from hivemark.hive.failure import EngineFailure
from hivemark.hive.watch import Watch


class MovedClock:
    """Stands still but for `pass_s`; every look at it adds what a step of the loop takes."""

    def __init__(self):
        self.seconds = 100.0

    def now_ms(self):
        return int(self.seconds * 1000)

    def mono_us(self):
        return int(self.seconds * 1_000_000)


@pytest.fixture
def clock(monkeypatch):
    """Every step of the watch takes exactly its time, at once, or what the test put into `naps`."""
    moved = MovedClock()
    moved.naps = []
    real_sleep = asyncio.sleep

    async def sleep(seconds):
        moved.seconds += moved.naps.pop(0) if moved.naps else seconds
        await real_sleep(0)

    monkeypatch.setattr(watching.asyncio, "sleep", sleep)
    return moved


def watch(clock, **limits):
    return Watch(clock, **{"run_s": 60.0, "first_token_s": 5.0, "stall_s": 2.0, **limits})


async def expired(watched, clock, *, begin=lambda: None):
    begun_s = clock.seconds
    with pytest.raises(EngineFailure) as failed:
        async with watched.guard():
            begin()
            await asyncio.Event().wait()
    return failed.value, clock.seconds - begun_s


async def test_the_first_token_has_a_deadline_from_the_request_on(clock):
    watched = watch(clock)
    failure, seconds = await expired(watched, clock, begin=watched.asked)
    assert failure.code == "first_token_timeout" and failure.stage == "first_token" and failure.at_fault
    assert seconds == pytest.approx(5.0, abs=0.3)


async def test_after_a_token_the_next_one_has_its_own(clock):
    watched = watch(clock)
    watched.asked()
    failure, seconds = await expired(watched, clock, begin=watched.progressed)
    assert failure.code == "stalled" and seconds == pytest.approx(2.0, abs=0.3)


async def test_loading_is_bounded_by_the_whole_run_alone(clock):
    failure, seconds = await expired(watch(clock, run_s=20.0), clock)
    assert failure.code == "run_timeout" and failure.stage == "load" and not failure.at_fault
    assert seconds == pytest.approx(20.0, abs=0.3)


async def test_time_in_which_the_agent_was_stopped_is_not_held_against_the_engine(clock):
    clock.naps = [0.25, 3600.0]
    watched = watch(clock)
    failure, seconds = await expired(watched, clock, begin=watched.asked)
    assert failure.code == "first_token_timeout"
    assert seconds == pytest.approx(3605.0, abs=0.6)


async def test_a_body_that_ends_in_time_is_left_alone(clock):
    async with watch(clock).guard():
        pass
    with pytest.raises(TimeoutError):
        async with watch(clock).guard():
            raise TimeoutError("its own")


async def test_cancellation_passes_through(clock):
    async def guarded():
        async with watch(clock, run_s=1e9).guard():
            await asyncio.Event().wait()

    task = asyncio.create_task(guarded())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
