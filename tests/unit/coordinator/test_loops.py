"""Loops outlive failing steps, wake on hints, and end in order; the pool is bounded."""

import asyncio
import threading

import pytest

from hivemark.coordinator.loops import runner
from hivemark.coordinator.loops.runner import Loop, LoopRunner
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.pool import WAITING_MAX, Busy, Pool
from hivemark.coordinator.wakeups import Wakeups
from hivemark.errors import UnavailableError


class Bench:
    """A runner over a step that the test scripts."""

    def __init__(self, answers: list[int | Exception], **loop: object) -> None:
        self.answers = answers
        self.steps = 0
        self.reports: list[Exception | None] = []
        self.stopping = asyncio.Event()
        self.pool = Pool()
        self.wakeups = Wakeups(asyncio.get_running_loop())
        self.metrics = Metrics()
        members = {"interval_s": 60.0, "topics": ("topic",), "report": self.reports.append, **loop}
        self.runner = LoopRunner(
            Loop("test", self.step, **members),  # type: ignore[arg-type]
            pool=self.pool,
            wakeups=self.wakeups,
            metrics=self.metrics,
            stopping=self.stopping,
        )
        self.task = asyncio.create_task(self.runner.run())

    def step(self, now_ms: int) -> int:
        assert now_ms > 1_600_000_000_000
        self.steps += 1
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def until(self, steps: int) -> None:
        async with asyncio.timeout(5):
            while self.steps < steps:
                await asyncio.sleep(0.001)

    async def end(self) -> None:
        self.stopping.set()
        self.wakeups.wake_all()
        async with asyncio.timeout(5):
            await self.task
        self.pool.close()


async def test_work_is_followed_by_another_look_and_none_by_sleep() -> None:
    bench = Bench([3, 1, 0])
    await bench.until(3)
    await asyncio.sleep(0.05)
    assert bench.steps == 3
    await bench.end()
    assert bench.metrics.loop_work.labels(loop="test")._value.get() == 4


async def test_a_hint_wakes_it_from_any_thread() -> None:
    bench = Bench([0])
    await bench.until(1)
    threading.Thread(target=bench.wakeups.notify, args=("topic",)).start()
    await bench.until(2)
    bench.wakeups.notify("another topic")
    await asyncio.sleep(0.02)
    assert bench.steps == 2
    await bench.end()


async def test_a_failing_step_is_counted_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PAUSE_S", 0.001)
    bench = Bench([UnavailableError("no disk"), ValueError("a bug"), 0])
    await bench.until(3)
    await bench.end()
    assert bench.metrics.loop_failures.labels(loop="test")._value.get() == 2
    assert [str(report) for report in bench.reports[:2]] == ["no disk", "a bug"]
    assert bench.reports[2] is None


async def test_it_ends_while_it_rests_after_a_failure() -> None:
    bench = Bench([ValueError("a bug")])
    await bench.until(1)
    await bench.end()
    assert bench.steps == 1


async def test_what_is_announced_between_two_waits_is_not_missed() -> None:
    wakeups = Wakeups(asyncio.get_running_loop())
    with wakeups.waiter("a", "b") as waiter:
        wakeups.notify("b")
        await asyncio.sleep(0)
        assert await waiter.wait(5)
        assert not await waiter.wait(0.001)
    assert wakeups.waiters == {}


async def test_the_pool_refuses_what_it_could_only_pile_up() -> None:
    pool, gate = Pool(), threading.Event()
    waiting = [asyncio.create_task(pool.run(gate.wait, 5)) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await pool.run(gate.wait, 5)
    gate.set()
    assert all(await asyncio.gather(*waiting))
    assert await pool.run(int, "7") == 7
    pool.close()
