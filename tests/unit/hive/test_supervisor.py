"""Workers on demand: real scripted processes under the supervisor, without agent and link."""

import asyncio
import sys
from contextlib import asynccontextmanager

import aiohttp
import psutil
import pytest

from hivemark.api.link import OfferedModel
from hivemark.hive.clock import SystemClock
from hivemark.hive.engines.base import EngineFacts
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.process import WorkerOrder, start_worker
from hivemark.hive.request import parse_request
from hivemark.hive.supervisor import TRIES_MAX, LoadGate, WorkerEngine
from hivemark.protocol.receipt import Engine

SCRIPTED = (sys.executable, "-m", "hivemark.testing.engine", "--worker")
FACTS = EngineFacts(
    Engine(name="worker", version="1", build=None, backend=None, dtype=None, architecture=None, threads=None),
    None,
)


@pytest.fixture
def started():
    """Calls answer the children this test has started; other tests' servers live in this process too."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: [p for p in psutil.Process().children(recursive=True) if p not in before]


class MovedClock(SystemClock):
    """The machine's clock, put forward by the test."""

    ahead_us = 0

    def mono_us(self):
        return super().mono_us() + self.ahead_us


class Stall:
    """Engines that share one gate; all ended when the test is over."""

    def __init__(self, http, *, loaded_max=4):
        self.clock = MovedClock()
        self.engines = []
        self._http = http
        self._gate = LoadGate(loaded_max=loaded_max)

    def engine(self, name="m", *flags, concurrency=1, digest=None, load_timeout_s=20.0):
        order = WorkerOrder((*SCRIPTED, *flags), "/none", name, 1, load_timeout_s)
        engine = WorkerEngine(
            order,
            OfferedModel(name=name, weights_sha256=digest, engine="worker"),
            FACTS,
            gate=self._gate,
            http=self._http,
            clock=self.clock,
            concurrency=concurrency,
        )
        self.engines.append(engine)
        return engine


@asynccontextmanager
async def stall(**limits):
    async with aiohttp.ClientSession() as http:
        here = Stall(http, **limits)
        try:
            yield here
        finally:
            await asyncio.gather(*(engine.close() for engine in here.engines))


def request(content):
    return parse_request(
        {
            "model": {"name": "m", "weights_sha256": None},
            "messages": [{"role": "user", "content": content}],
            "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64, "stop": []},
            "seed": 1,
            "question": None,
        }
    )


async def ask(engine, content="hi"):
    async with engine.session() as session:
        return "".join([chunk.text async for chunk in session.answer(request(content))])


async def fails(engine, content, code):
    with pytest.raises(EngineFailure) as failed:
        await ask(engine, content)
    assert failed.value.code == code
    return failed.value


async def test_nothing_is_loaded_before_it_is_needed_and_then_once_for_all_who_wait(started):
    async with stall() as here:
        engine = here.engine(concurrency=3)
        assert not engine.loaded and engine.pid is None and not engine.offered.loaded
        answers = await asyncio.gather(*(ask(engine) for _ in range(3)))
        assert len(set(answers)) == 1 and engine.offered.loaded
        assert len(started()) == 1


async def test_one_model_is_loaded_at_a_time(started):
    async with stall() as here:
        engines = [here.engine(name, "--load-delay-s", "0.3") for name in ("a", "b", "c")]
        most = 0

        async def watch():
            nonlocal most
            while True:
                loading = [p for p in started() if p.is_running()]
                most = max(most, len(loading) - sum(engine.loaded for engine in engines))
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(ask(engine) for engine in engines))
        watching.cancel()
        assert most == 1


async def test_the_worker_idle_for_longest_makes_room():
    async with stall(loaded_max=2) as here:
        first, second, third = (here.engine(name) for name in ("a", "b", "c"))
        for engine in (first, second, first, third):
            await ask(engine)
        assert [engine.loaded for engine in (first, second, third)] == [True, False, True]


async def test_whoever_asked_for_a_load_may_leave_and_the_load_goes_on(started):
    async with stall() as here:
        engine = here.engine("m", "--load-delay-s", "0.5")
        asking = asyncio.create_task(ask(engine))
        await asyncio.sleep(0.2)
        asking.cancel()
        assert await ask(engine)
        assert len(started()) == 1


async def test_a_fault_that_several_saw_counts_once():
    async with stall() as here:
        engine = here.engine(concurrency=4)
        await ask(engine)
        slow = [
            asyncio.create_task(fails(engine, "[[token_delay_s=0.2]]", "connection_lost")) for _ in range(3)
        ]
        await asyncio.sleep(0.3)
        await fails(engine, "[[fault=crash_before]]", "connection_lost")
        await asyncio.gather(*slow)
        assert not engine.withdrawn
        assert await ask(engine)


async def test_three_faults_in_a_row_withdraw_and_a_success_in_between_starts_the_count_again():
    async with stall() as here:
        engine = here.engine()
        for _ in range(TRIES_MAX - 1):
            await fails(engine, "[[fault=crash_before]]", "connection_lost")
        await ask(engine)
        for _ in range(TRIES_MAX - 1):
            await fails(engine, "[[fault=garbage_json]]", "engine_garbage")
        assert engine.offered is not None
        await fails(engine, "[[fault=garbage_json]]", "engine_garbage")
        assert engine.withdrawn and engine.offered is None and "engine_garbage" in engine.reason
        failure = await fails(engine, "hi", "model_withdrawn")
        assert failure.stage is Stage.LOAD and failure.transient


async def test_each_withdrawal_lasts_longer_until_something_succeeds():
    async with stall() as here:
        engine = here.engine("m", "--fail-load")
        rests = []
        for _ in range(2):
            for _ in range(TRIES_MAX):
                await fails(engine, "hi", "load_failed")
            begun = here.clock.ahead_us
            while engine.withdrawn:
                here.clock.ahead_us += 5_000_000
            rests.append((here.clock.ahead_us - begun) / 1_000_000)
        assert rests == [60.0, 120.0]


async def test_a_session_that_is_left_ends_the_generation_and_is_no_fault():
    async with stall() as here:
        engine = here.engine()
        await ask(engine)
        before = engine.pid
        asking = asyncio.create_task(ask(engine, "[[fault=hang_middle]]"))
        await asyncio.sleep(0.3)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await ask(engine) and engine.pid == before


async def test_another_file_than_the_offered_one_is_never_used(started):
    async with stall() as here:
        engine = here.engine("m", digest="a" * 64)
        await fails(engine, "hi", "digest_mismatch")
        assert started() == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("/no/such/program",), "start_failed"),
        (("/bin/false",), "worker_died"),
        (("/bin/sh", "-c", "echo nonsense; sleep 9"), "start_protocol_broken"),
        (("/bin/sh", "-c", """echo '{"event":"ready","port":0}'; sleep 9"""), "start_protocol_broken"),
        (("/bin/sh", "-c", """echo '{"event":"ready","port":80}'; sleep 9"""), "start_protocol_broken"),
        (("/bin/sh", "-c", "head -c 200000 /dev/zero; sleep 9"), "start_protocol_broken"),
        (("/bin/sh", "-c", "sleep 9 & sleep 9"), "load_timeout"),
    ],
)
async def test_a_program_that_is_no_worker_is_ended_with_all_its_children(command, code, started):
    order = WorkerOrder(command, "/none", "m", 1, load_timeout_s=0.5)
    with pytest.raises(EngineFailure) as failed:
        await start_worker(order)
    assert failed.value.code == code and failed.value.stage is Stage.LOAD
    assert started() == []


async def test_a_worker_that_ignores_the_end_of_its_pipe_is_killed():
    ready = '{"event":"ready","port":80,"model":{"name":"m"},"engine":{"name":"e","version":"1"}}'
    command = ("/bin/sh", "-c", f"read line; echo '{ready}'; exec 0</dev/null; sleep 60 & wait")
    worker = await start_worker(WorkerOrder(command, "/none", "m", 1, load_timeout_s=5))
    children = psutil.Process(worker.pid).children()
    await worker.stop()
    assert not worker.alive
    await asyncio.to_thread(psutil.wait_procs, children, 2)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


async def test_children_of_a_worker_that_crashed_do_not_outlive_it():
    ready = '{"event":"ready","port":80,"model":{"name":"m"},"engine":{"name":"e","version":"1"}}'
    command = ("/bin/sh", "-c", f"read line; sleep 60 & echo '{ready}'; wait")
    worker = await start_worker(WorkerOrder(command, "/none", "m", 1, load_timeout_s=5))
    children = psutil.Process(worker.pid).children()
    psutil.Process(worker.pid).kill()
    assert children
    await asyncio.to_thread(psutil.wait_procs, children, 3)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    await worker.stop()


async def test_the_memory_of_a_worker_can_be_bounded():
    limit = 3_000_000_000
    worker = await start_worker(WorkerOrder(SCRIPTED, "/none", "m", 1, 20.0, memory_bytes_max=limit))
    try:
        assert psutil.Process(worker.pid).rlimit(psutil.RLIMIT_AS) == (limit, limit)
    finally:
        await worker.stop()


async def test_the_token_of_a_worker_never_shows():
    worker = await start_worker(WorkerOrder(SCRIPTED, "/none", "m", 1, 20.0))
    try:
        process = psutil.Process(worker.pid)
        shown = " ".join([repr(worker), *process.cmdline(), *process.environ().values()])
        assert worker.token not in shown
    finally:
        await worker.stop()
