"""A hive is killed or stopped in the middle of its work: nothing is lost, doubled or paid twice."""

import asyncio
import signal
from collections import Counter

import psutil

from .conftest import LEASE_TTL_S, Network, descendants, follow

SLOW = {"words": 8, "token_delay_s": 0.05}
ORPHANS_GONE_S = 5.0


async def test_a_killed_hive_s_work_is_taken_over(network: Network) -> None:
    await network.add_hive("first", script=SLOW)
    await network.add_hive("second", script=SLOW)
    first = network.hives["first"]
    async with network.client() as client:
        job = await network.submit(client, questions=20)
        finished = 0
        async for event in follow(client, job):
            finished += event.name == "execution_completed"
            if finished >= 5 and first.process.poll() is None:
                workers = descendants(first)
                assert workers, "the hive runs workers"
                first.process.send_signal(signal.SIGKILL)
                first.process.wait()
                _, orphans = await asyncio.to_thread(psutil.wait_procs, workers, ORPHANS_GONE_S)
                assert orphans == []
        view = await client.job(job, executions=True)
        assert (view.state, view.progress.completed) == ("completed", 20)
        await network.require_sound(client, view)
    outcomes = Counter(each.outcome for each in network.acceptances())
    assert outcomes["accepted"] == 20
    assert 1 <= outcomes["lost"] <= 2  # what its two slots were doing
    assert set(outcomes) == {"accepted", "lost"}
    assert network.earned_micro("second") > network.earned_micro("first") > 0


async def test_a_stopped_hive_comes_back_late_logged_and_unpaid(network: Network) -> None:
    await network.add_hive("sleeper", slots=1, script=SLOW)
    sleeper = network.hives["sleeper"].process
    async with network.client() as client:
        job = await network.submit(client, questions=1)
        is_stopped = False
        async for event in follow(client, job):
            if event.body.state == "running" and not is_stopped:
                sleeper.send_signal(signal.SIGSTOP)
                is_stopped = True
                await network.add_hive("standby", slots=1, script=SLOW)
        view = await client.job(job, executions=True)
        assert (view.state, view.executions[0].hive) == ("completed", network.ids["standby"])
        sleeper.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            while "late" not in [each.outcome for each in network.acceptances()]:
                await asyncio.sleep(0.1)
        await network.require_sound(client, view)
    outcomes = {(each.hive.id, each.outcome) for each in network.acceptances()}
    sleeper_id, standby_id = network.ids["sleeper"], network.ids["standby"]
    assert outcomes == {(sleeper_id, "lost"), (sleeper_id, "late"), (standby_id, "accepted")}
    assert network.earned_micro("sleeper") == 0
    assert network.earned_micro("standby") > 0
    assert LEASE_TTL_S < 15, "the test shortens the lease, not the rule"
