"""How a worker begins and ends: refusals to start, clients that leave, parents that die, a full queue."""

import asyncio
import json
import signal
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from hivemark.models_shipped import shipped

from .conftest import Worker, order, request, running, spawn

AT_ONCE_S = 2.0  # a token takes half a millisecond, an endless answer minutes


async def first_chunk(worker: Worker, **members: Any) -> aiohttp.ClientResponse:
    response = await worker.http.post("/v1/chat/completions", json=request(stream=True, **members))
    assert response.status == 200
    await response.content.readline()
    return response


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_ends_its_generation(endless: Worker, is_stream: bool) -> None:
    asking = asyncio.ensure_future(first_chunk(endless) if is_stream else endless.chat())
    await endless.wait_until(lambda health: health["busy"], seconds=5)
    if is_stream:
        response = await asking
        assert isinstance(response, aiohttp.ClientResponse)
        response.close()
    else:
        asking.cancel()
    await endless.wait_until(lambda health: not health["busy"], seconds=AT_ONCE_S)
    status, _ = await endless.chat(max_tokens=3)
    assert status == 200


async def test_a_client_that_leaves_the_queue_frees_its_place(endless: Worker) -> None:
    response = await first_chunk(endless)
    waiting = asyncio.ensure_future(endless.chat(max_tokens=3))
    await endless.wait_until(lambda health: health["queue"] == 1, seconds=5)
    waiting.cancel()
    await endless.wait_until(lambda health: health["queue"] == 0, seconds=AT_ONCE_S)
    response.close()


async def test_eight_wait_and_the_next_is_refused(endless: Worker) -> None:
    response = await first_chunk(endless)
    waiting = [asyncio.ensure_future(endless.chat(max_tokens=3)) for _ in range(8)]
    await endless.wait_until(lambda health: health["queue"] == 8, seconds=5)
    status, body = await endless.chat(max_tokens=3)
    assert (status, body["error"]["code"]) == (503, "queue_full")
    response.close()
    assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * 8


async def test_health_answers_at_once_idle_or_not(endless: Worker) -> None:
    for is_busy in (False, True):
        response = await first_chunk(endless) if is_busy else None
        waits_s = []
        for _ in range(15):
            start = time.monotonic()
            assert (await endless.health())["busy"] is is_busy
            waits_s.append(time.monotonic() - start)
        assert statistics.median(waits_s) < 0.03  # measured 1 to 8 ms; 42 with Nagle's algorithm on
        if response is not None:
            response.close()


async def test_it_dies_with_its_parent_even_while_it_computes(endless: Worker) -> None:
    response = await first_chunk(endless)
    assert endless.process.stdin is not None
    endless.process.stdin.close()
    assert await asyncio.wait_for(endless.process.wait(), AT_ONCE_S) == 0
    response.close()


async def test_sigterm_lets_the_running_answer_end_and_refuses_the_waiting(endless: Worker) -> None:
    running_one = asyncio.ensure_future(endless.stream(max_tokens=2000))
    await endless.wait_until(lambda health: health["busy"], seconds=5)
    waiting = asyncio.ensure_future(endless.chat(max_tokens=3))
    await endless.wait_until(lambda health: health["queue"] == 1, seconds=5)
    endless.process.send_signal(signal.SIGTERM)
    chunks = await running_one
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    status, body = await waiting
    assert (status, body["error"]["code"]) == (503, "draining")
    assert await asyncio.wait_for(endless.process.wait(), 15) == 0


async def test_sigterm_ends_an_idle_worker(worker: Worker) -> None:
    worker.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.process.wait(), AT_ONCE_S) == 0


async def test_nothing_is_written_after_ready(worker: Worker) -> None:
    await worker.chat(max_tokens=3)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.stdout is not None
    assert await worker.process.stdout.read() == b""


async def test_the_context_can_be_lowered() -> None:
    async with running(context_tokens_max=32) as worker:
        status, body = await worker.chat(max_tokens=32)
        assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
        _, body = await worker.chat()
        assert body["usage"]["total_tokens"] == 32


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"no json\n", "start_invalid"),
        (b"[]\n", "start_invalid"),
        (json.dumps(order(threads=0)).encode() + b"\n", "start_invalid"),
        (json.dumps(order(token="short")).encode() + b"\n", "start_invalid"),
        (json.dumps(order(surprise=1)).encode() + b"\n", "start_invalid"),
        (b"x" * 70_000, "start_invalid"),
        (json.dumps(order(model_path="/nowhere/model.gguf")).encode() + b"\n", "model_file"),
        (json.dumps(order(model_path=str(shipped()[0].card))).encode() + b"\n", "gguf_malformed"),
    ],
)
async def test_a_start_that_fails_says_why(line: bytes, code: str) -> None:
    process, events = await spawn(line)
    assert (events[-1]["event"], events[-1]["code"]) == ("failed", code)
    assert await asyncio.wait_for(process.wait(), AT_ONCE_S) == 1


async def test_a_truncated_model_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(shipped()[0].path.read_bytes()[:-1000])
    process, events = await spawn(json.dumps(order(model_path=str(path))).encode() + b"\n")
    assert events[-1]["code"] == "gguf_malformed"
    assert "blk.3.ffn_down" in events[-1]["message"] or "output_norm" in events[-1]["message"]
    assert await process.wait() == 1


async def test_a_parent_that_says_nothing_and_leaves_ends_it() -> None:
    process, events = await spawn(b"")
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert events == []


async def test_a_template_that_asks_for_all_memory_ends_as_a_refusal(tmp_path: Path) -> None:
    raw = shipped()[0].path.read_bytes()
    start = raw.index(b"{% for m in messages %}")
    end = raw.index(b"{% endif %}", raw.index(b"add_generation_prompt")) + len(b"{% endif %}")
    doubling = b"{% for i in range(50) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
    bomb = b"{% set ns = namespace(s='x') %}" + doubling + b"{{ ns.s }}"
    path = tmp_path / "bomb.gguf"
    path.write_bytes(raw[:start] + bomb.ljust(end - start) + raw[end:])
    async with running(model_path=str(path)) as worker:
        before_bytes = psutil.Process(worker.process.pid).memory_info().rss
        for _ in range(2):
            status, body = await worker.chat()
            assert (status, body["error"]["code"]) == (400, "template_invalid")
        assert psutil.Process(worker.process.pid).memory_info().rss < before_bytes + (64 << 20)
