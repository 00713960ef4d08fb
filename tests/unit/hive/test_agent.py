"""The agent's shell: one attempt's fault stays with that attempt."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import aiohttp
import pytest

from hivemark.errors import InvalidError
from hivemark.hive import agent as agent_module
from hivemark.hive.agent import Agent, GaveUp
from hivemark.hive.clock import SystemClock
from hivemark.hive.config import Coordinator, Hive, encode_config, parse_config
from hivemark.hive.effects import CloseLink, GiveUp, StartAttempt
from hivemark.hive.outbox import Outbox
from hivemark.hive.outbox_writer import OutboxWriter
from hivemark.hive.stable import EngineStable

_spec = importlib.util.spec_from_file_location("core_bench", Path(__file__).with_name("test_core.py"))
core_bench = importlib.util.module_from_spec(_spec)
sys.modules["core_bench"] = core_bench
_spec.loader.exec_module(core_bench)


@pytest.fixture
async def agent(tmp_path):
    coordinator = Coordinator(
        url="http://127.0.0.1:9", network="home-test", service_key=core_bench.SERVICE_KEY.public.base64
    )
    hive = Hive(name="attic", region="US", shipped_models=False)
    config = parse_config(encode_config(coordinator, hive), home=tmp_path)
    async with aiohttp.ClientSession() as http:
        clock = SystemClock()
        stable = EngineStable(config, (), http=http, clock=clock, version="1")
        made = Agent(
            config,
            core_bench.IDENTITY,
            stable,
            OutboxWriter(Outbox(tmp_path / "o")),
            http=http,
            clock=clock,
            waiting=(),
        )
        yield made


NOOP = {"model": None, "messages": []}


async def finish_tasks(agent):
    while agent._tasks:
        await asyncio.wait(set(agent._tasks), timeout=5)


async def test_an_attempt_without_a_possible_receipt_is_given_back_and_the_agent_goes_on(agent, monkeypatch):
    def refuse(*_args, **_members):
        raise InvalidError("no such receipt")

    declined = []
    monkeypatch.setattr(agent_module, "build_result", refuse)
    monkeypatch.setattr(
        agent.core, "attempt_declined", lambda attempt, **why: declined.append((attempt, why)) or []
    )
    agent._apply([StartAttempt(core_bench.lease(request=NOOP), "a" * 64, "token", 1)])
    await finish_tasks(agent)
    ((attempt, why),) = declined
    assert attempt == "att_1" and why["code"] == "task_failed"
    assert not agent._stop.is_set() and not agent._attempts
    await agent._outbox.close()


async def test_what_the_first_receipt_cannot_say_a_failure_can(agent, monkeypatch):
    real, calls, finished = agent_module.build_result, [], []

    def refuse_once(*args, **members):
        calls.append(args)
        if len(calls) == 1:
            raise InvalidError("too long")
        return real(*args, **members)

    monkeypatch.setattr(agent_module, "build_result", refuse_once)
    monkeypatch.setattr(agent.core, "attempt_finished", lambda attempt, **_: finished.append(attempt) or [])
    agent._apply([StartAttempt(core_bench.lease(request=NOOP), "a" * 64, "token", 1)])
    await finish_tasks(agent)
    assert finished == ["att_1"] and len(calls) == 2
    assert calls[1][3].failure.code == "not_receiptable"
    await agent._outbox.close()


async def test_a_hive_that_is_refused_for_good_ends_with_the_reason(agent):
    running = asyncio.create_task(agent.run())
    await asyncio.sleep(0.05)
    agent._apply([CloseLink("revoked", "gone"), GiveUp("revoked", "gone")])
    with pytest.raises(GaveUp) as ended:
        await asyncio.wait_for(running, 5)
    assert ended.value.code == "revoked" and not ended.value.retryable
