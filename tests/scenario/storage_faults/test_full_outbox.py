"""A hive's disk is full: finished work waits in its slot, no more is taken, and nothing is done in vain."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..faults.conftest import Network, follow, until
from .conftest import finish, require_clean
from .disks import Disk

QUESTIONS = 12
FILLED_AFTER = 4
SLOW = {"words": 4, "token_delay_s": 0.02}


async def test_a_hive_without_room_keeps_its_results_and_takes_no_more(
    disk_under: Callable[[Path], Disk], network: Network
) -> None:
    disk = disk_under(network.root / "hive")
    network.start_coordinator()
    await network.add_hive("hive", script=SLOW)
    process = network.hives["hive"].process
    async with network.client() as client:
        job = await network.submit(client, questions=QUESTIONS)
        finished = 0
        async for event in follow(client, job):
            finished += event.name == "execution_completed"
            if finished == FILLED_AFTER:
                break
        disk.fill(process.pid)

        async def offers_no_slot() -> bool:
            (hive,) = await client.hives()
            return hive.slots == 0

        await until(offers_no_slot)
        held = (await client.job(job)).progress
        assert held.completed < QUESTIONS
        assert process.poll() is None
        disk.free(process.pid)
    view = await finish(network, job)
    assert len(view.executions) == QUESTIONS
    outcomes = Counter(each.outcome for each in network.acceptances())
    assert (outcomes.pop("accepted"), outcomes.keys() - {"lost"}) == (QUESTIONS, set())
    assert outcomes["lost"] <= 1  # a lease that crossed the news
    assert network.hives["hive"].process.poll() is None
    await asyncio.to_thread(require_clean, network)
