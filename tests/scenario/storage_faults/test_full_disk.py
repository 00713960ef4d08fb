"""The disk is full in the middle of a job: clear refusals, nothing lost, and the work goes on by itself."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hivemark.errors import UnavailableError

from ..faults.conftest import Network, follow, until
from .conftest import ask, checkpoint_of, finish, require_clean, require_one_history
from .disks import Disk

QUESTIONS = 24
FILLED_AFTER = 6
DATABASE_CODES = ("storage_full", "database_unavailable")
SLOW = {"words": 4, "token_delay_s": 0.02}


async def test_a_full_coordinator_refuses_clearly_and_goes_on(
    disk_under: Callable[[Path], Disk], network: Network
) -> None:
    disk = disk_under(network.home.root)
    network.start_coordinator()
    await network.add_hive("hive", script=SLOW)
    assert network.coordinator is not None
    process = network.coordinator.process
    async with network.client() as client:
        job = await network.submit(client, questions=QUESTIONS)
        finished = 0
        async for event in follow(client, job):
            finished += event.name == "execution_completed"
            if finished == FILLED_AFTER:
                break
        before = await asyncio.to_thread(checkpoint_of, network)
        disk.fill(process.pid)
        acknowledged = await _receipts(network, job)
        await until(lambda: _waits_for_delivery(network, "hive"))
        with pytest.raises(UnavailableError) as refused:
            await network.submit(client, questions=1)
        assert refused.value.hint is not None
        await until(lambda: _is_not_ready(network))
        await until(lambda: _has_lost_a_link(network))
        acknowledged |= await _receipts(network, job)
        assert process.poll() is None
        assert ask(f"{network.url}/health/live").status == 200
        disk.free(process.pid)
    view = await finish(network, job)
    assert acknowledged.items() <= {each.id: each.receipt_sha256 for each in view.executions}.items()
    await until(lambda: _is_ready(network))
    assert network.coordinator.process.poll() is None
    assert Counter(each.outcome for each in network.acceptances())["accepted"] == QUESTIONS
    require_one_history(network, before)
    require_clean(network)


async def _receipts(network: Network, job: str) -> dict[str, str | None]:
    """The executions whose result was acknowledged; reading needs no room."""
    async with network.client() as client:
        view = await client.job(job, executions=True)
    return {each.id: each.receipt_sha256 for each in view.executions if each.state == "completed"}


async def _waits_for_delivery(network: Network, name: str) -> bool:
    """A result that the coordinator could not take stands in the hive's outbox."""
    outbox = sqlite3.connect(network.root / name / "outbox.sqlite")
    try:
        (waiting,) = outbox.execute("SELECT count(*) FROM result").fetchone()
    finally:
        outbox.close()
    return bool(waiting)


async def _is_not_ready(network: Network) -> bool:
    """`ready` says which of the things below it fails, and `/health` agrees."""
    ready, health = [await asyncio.to_thread(ask, f"{network.url}/health{path}") for path in ("/ready", "")]
    if ready.status == 200:
        return False
    assert (ready.status, ready.json["code"], ready.json["retryable"]) == (503, "not_ready", True)
    failed = [name for name, one in health.json["dependencies"].items() if one.get("status") == "failed"]
    assert failed
    assert health.json["status"] == "degraded"
    return all(name in ready.json["detail"] for name in failed) and "blobs" in failed


async def _has_lost_a_link(network: Network) -> bool:
    """A heartbeat or a new session could not be recorded."""
    metrics = (await asyncio.to_thread(ask, f"{network.url}/metrics")).body.decode()
    return any(f'links_refused_total{{code="{code}"}}' in metrics for code in DATABASE_CODES)


async def _is_ready(network: Network) -> bool:
    return (await asyncio.to_thread(ask, f"{network.url}/health/ready")).status == 200
