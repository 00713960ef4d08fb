"""Answers that end before their end: what was given is proved and paid, and nothing goes on in vain."""

import asyncio
import json
import signal
from typing import Any

import aiohttp

from .conftest import ASK, Calls, Network, Stream, make_key, until

SLOW = {"words": 60, "token_delay_s": 0.05}


def ask(directive: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What is there? [[{directive}]]"}]


async def idle(network: Network) -> bool:
    """Whether no worker of any hive generates: asked of the coordinator, which knows of open attempts."""
    async with network.client() as client:
        return all(hive.running == 0 for hive in await client.hives())


async def test_a_client_that_leaves_stops_the_worker(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=SLOW)
    async with calls.open() as (stream, response):
        while len(stream.events) < 5:
            stream.feed(await response.content.readline())
    await until(lambda: idle(network))
    _, verdict = await calls.verified(stream.execution)
    assert verdict.acceptance is not None and verdict.receipt is not None
    assert verdict.acceptance.outcome == "cut"
    assert verdict.receipt.failure is not None and verdict.receipt.failure.code == "client_gone"
    assert verdict.receipt.usage is None or verdict.receipt.usage.completion_tokens < 60
    assert verdict.acceptance.delivered is not None
    assert verdict.acceptance.delivered.bytes >= len(stream.text.encode())


async def test_a_worker_that_dies_in_the_middle_ends_the_stream_with_an_error(
    network: Network, calls: Calls
) -> None:
    await network.add_hive("first", script={"words": 20})
    stream = await calls.stream(messages=ask("fault=crash_middle"))
    assert stream.status == 200 and not stream.done
    assert stream.error is not None and set(stream.error) == {"message", "type", "param", "code"}
    _, verdict = await calls.require_cut(stream.execution, stream.text)
    assert verdict.receipt is not None and verdict.receipt.outcome == "failed"
    assert network.earned_micro("first") > 0, "what was delivered is paid"


async def test_a_worker_that_dies_before_the_first_byte_is_replaced(network: Network, calls: Calls) -> None:
    count = network.root / "faults"
    await network.add_hive(
        "first", script={"words": 5, "fault": "crash_before", "fault_times": 1}, count=count
    )
    await network.add_hive("second", script={"words": 5})
    stream = await calls.stream()
    assert (stream.status, stream.done, stream.error) == (200, True, None)
    await calls.require_output(stream.execution, stream.text)


async def test_a_hive_that_is_killed_in_the_middle_ends_the_stream_at_once(
    network: Network, calls: Calls
) -> None:
    await network.add_hive("first", script=SLOW)

    def kill(stream: Stream) -> None:
        if len(stream.events) == 6:
            network.hives["first"].process.send_signal(signal.SIGKILL)

    stream = await calls.stream(kill)
    assert stream.error is not None and stream.error["code"] == "hive_lost" and not stream.done
    _, verdict = await calls.require_cut(stream.execution, stream.text)
    assert verdict.receipt is None
    assert network.earned_micro("first") == 0, "no payment leaves escrow without a receipt"


async def test_a_hive_that_is_killed_before_the_first_byte_is_replaced(
    network: Network, calls: Calls
) -> None:
    await network.add_hive("first", script={"words": 5, "first_token_delay_s": 30})
    asking = asyncio.create_task(calls.stream())
    async with network.client() as client:

        async def is_running() -> bool:
            return any(hive.running for hive in await client.hives())

        await until(is_running)
    await network.add_hive("second", script={"words": 5})
    network.hives["first"].process.send_signal(signal.SIGKILL)
    stream = await asking
    assert (stream.status, stream.done, stream.error) == (200, True, None)
    await calls.require_output(stream.execution, stream.text)


async def test_a_call_is_cancelled_by_delete(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=SLOW)
    deleted: list[asyncio.Task[int]] = []

    async def delete(execution: str) -> int:
        async with (
            aiohttp.ClientSession() as http,
            http.delete(f"{network.url}/v1/chat/completions/{execution}", headers=calls.headers) as response,
        ):
            return response.status

    def cancel(stream: Stream) -> None:
        if len(stream.events) == 6:
            deleted.append(asyncio.create_task(delete(stream.execution)))

    stream = await calls.stream(cancel)
    assert await deleted[0] == 200
    assert stream.error is not None and stream.error["code"] == "cancelled"
    _, verdict = await calls.require_cut(stream.execution, stream.text)
    assert verdict.receipt is not None and verdict.receipt.failure is not None
    assert verdict.receipt.failure.code == "cancelled"
    async with network.client() as client:
        assert verdict.acceptance is not None
        assert (await client.job(verdict.acceptance.job)).state == "cancelled"


async def test_a_key_that_is_revoked_ends_its_stream(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script={"words": 200, "token_delay_s": 0.05})
    async with network.client() as client:
        listed = json.loads(await client._http.request("GET", "/api/v1/api-keys"))
        (key,) = [each["id"] for each in listed["api_keys"] if each["name"] == "test"]
        revoked: list[asyncio.Task[Any]] = []

        def revoke(stream: Stream) -> None:
            if len(stream.events) == 4:
                path = f"/api/v1/api-keys/{key}"
                revoked.append(asyncio.create_task(client._http.request("DELETE", path)))

        stream = await calls.stream(revoke)
        await revoked[0]
    assert stream.error is not None and stream.error["code"] == "api_key_revoked" and not stream.done
    status, _, body = await calls.post()
    assert (status, body["error"]["code"]) == (401, "api_key_revoked")


async def test_a_budget_that_ends_in_the_middle_stops_the_answer(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script={"words": 60})
    calls.key = await make_key(network, budget="0.016")  # the prompt and about twenty tokens
    stream = await calls.stream()
    assert stream.error is not None and stream.error["code"] == "budget_exhausted"
    assert 0 < len(stream.text.split()) < 60
    await calls.require_cut(stream.execution, stream.text)
    status, _, body = await calls.post()
    assert (status, body["error"]["code"]) == (402, "budget_exhausted")


async def test_a_queued_call_that_is_left_is_never_run(network: Network, calls: Calls) -> None:
    await network.add_hive("first", slots=1, script=SLOW)
    first = asyncio.create_task(calls.stream())
    async with network.client() as client:

        async def is_running() -> bool:
            return any(hive.running for hive in await client.hives())

        await until(is_running)
        waiting = asyncio.create_task(calls.post())
        jobs: list[Any] = []

        async def are_two() -> bool:
            jobs[:] = (await client.jobs(limit=10)).jobs
            return len(jobs) == 2

        await until(are_two)
        waiting.cancel()

        async def is_over() -> bool:
            return (await client.job(jobs[0].id)).state == "cancelled"

        await until(is_over)
    assert (await first).done


async def test_a_coordinator_that_is_killed_under_open_streams_leaves_nothing_open(
    network: Network, calls: Calls
) -> None:
    await network.add_hive("first", slots=8, script=SLOW)

    async def broken() -> None:
        try:
            await calls.stream()
        except aiohttp.ClientError:
            return

    streams = [asyncio.create_task(broken()) for _ in range(8)]
    async with network.client() as client:

        async def are_running() -> bool:
            return sum(hive.running for hive in await client.hives()) == 8

        await until(are_running)
    assert network.coordinator is not None
    network.coordinator.process.send_signal(signal.SIGKILL)
    network.coordinator.process.wait()
    await asyncio.gather(*streams)
    network.start_coordinator()
    async with network.client() as client:

        async def are_final() -> bool:
            return all(job.state in ("cancelled", "failed") for job in (await client.jobs(limit=10)).jobs)

        await until(are_final, timeout_s=60)
        status, _, _ = await calls.post(**ASK)
        assert status == 200
