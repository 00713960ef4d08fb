"""The scripted engine as a process: token, script by request, faults counted over restarts, its end."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import aiohttp

TOKEN = "t" * 32
AUTH = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def engine(*flags, order=None):
    """A running engine: its HTTP session, its process and its first line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hivemark.testing.engine", *flags),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if order is not None:
            process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(20):
            line = json.loads(await process.stdout.readline())
        base = f"http://127.0.0.1:{line.get('port', 0)}"
        async with aiohttp.ClientSession(base, headers=AUTH) as http:
            yield http, process, line
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def chat(http, **changes):
    async with http.post("/v1/chat/completions", json={**BODY, **changes}) as response:
        return response.status, await response.text()


async def test_every_route_asks_for_the_token():
    async with engine("--token", TOKEN) as (http, _, _line):
        async with aiohttp.ClientSession(http._base_url) as stranger:
            statuses = [(await chat(stranger))[0]]
            for path in ("/health", "/v1/models", "/script"):
                async with stranger.get(path) as response:
                    statuses.append(response.status)
        assert statuses == [401] * 4
        assert (await chat(http))[0] == 200


async def test_a_script_set_by_request_holds_until_the_next():
    async with engine("--model", "m") as (http, _, _line):
        async with http.post("/script", json={"answer": "Paris"}) as response:
            assert (await response.json())["answer"] == "Paris"
        _, text = await chat(http)
        assert json.loads(text)["choices"][0]["message"]["content"] == "Paris"
        async with http.post("/script", json={"nope": 1}) as response:
            assert response.status == 400


async def test_a_fault_counted_in_a_file_is_met_once_over_restarts(tmp_path):
    script = json.dumps({"fault": "error_status", "fault_times": 1})
    statuses = []
    for _ in range(2):
        async with engine("--script", script, "--count-file", str(tmp_path / "n")) as (http, _, _line):
            statuses += [(await chat(http))[0], (await chat(http))[0]]
    assert statuses == [500, 200, 200, 200]


async def test_a_stream_has_openais_order():
    async with engine("--script", '{"answer": "Paris"}') as (http, _, _line):
        _, text = await chat(http, stream=True, stream_options={"include_usage": True})
        events = [line for line in text.split("\n\n") if line]
        assert len(events) == 5 and events[-1] == "data: [DONE]"
        assert '"usage"' in events[-2] and '"finish_reason": "stop"' in events[-3] and "Paris" in events[-4]


async def test_as_a_worker_it_takes_its_token_from_the_order_and_ends_with_its_parent():
    order = {
        "model_path": "/none",
        "model_name": "named",
        "token": TOKEN,
        "threads": 1,
        "context_tokens_max": None,
    }
    async with engine("--worker", order=order) as (http, process, line):
        assert line["event"] == "ready" and line["model"]["name"] == "named"
        async with http.get("/health") as response:
            assert (await response.json())["loaded"]
        process.stdin.close()
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_a_failed_load_is_told_and_is_the_end():
    order = {"model_path": "x", "model_name": "x", "token": TOKEN, "threads": 1, "context_tokens_max": None}
    async with engine("--worker", "--fail-load", order=order) as (_http, process, line):
        assert line["event"] == "failed" and line["code"] == "load_failed"
        async with asyncio.timeout(5):
            assert await process.wait() == 1
