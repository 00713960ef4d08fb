"""The real worker process, started and spoken to as a hive does it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hivemark.models_shipped import shipped

TOKEN = "0123456789abcdef-one-off"
START_S = 30


@dataclass
class Worker:
    """A started worker: the process, the lines it wrote, and a client that knows the token."""

    process: asyncio.subprocess.Process
    events: list[dict[str, Any]]
    http: aiohttp.ClientSession

    async def chat(self, **members: Any) -> tuple[int, dict[str, Any]]:
        async with self.http.post("/v1/chat/completions", json=request(**members)) as response:
            return response.status, await response.json()

    async def stream(self, **members: Any) -> list[dict[str, Any]]:
        async with self.http.post("/v1/chat/completions", json=request(stream=True, **members)) as response:
            assert response.status == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            events = (await response.text()).split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]

    async def health(self) -> dict[str, Any]:
        async with self.http.get("/health") as response:
            body: dict[str, Any] = await response.json()
            return body

    async def wait_until(
        self, condition: Callable[[dict[str, Any]], bool], *, seconds: float
    ) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while not condition(state := await self.health()):
                await asyncio.sleep(0.005)
        return state


StartWorker = Callable[..., Awaitable[Worker]]


def request(content: str = "Tell me a story about a dog.", **members: Any) -> dict[str, Any]:
    return {
        "model": "hivemark-tiny-a",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0.8,
        "seed": 3,
        **members,
    }


def order(**members: Any) -> dict[str, Any]:
    return {
        "model_path": str(shipped()[0].path),
        "model_name": "hivemark-tiny-a",
        "token": TOKEN,
        "threads": 1,
        "context_tokens_max": None,
        **members,
    }


async def spawn(line: bytes) -> tuple[asyncio.subprocess.Process, list[dict[str, Any]]]:
    """Start the process, hand it `line` (none: leave it), read its events up to the last."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hivemark.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(line)
    if not line:
        process.stdin.close()
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(START_S):
        while raw := await process.stdout.readline():
            events.append(json.loads(raw))
            if events[-1]["event"] != "loading":
                break
    return process, events


@asynccontextmanager
async def running(**members: Any) -> AsyncIterator[Worker]:
    process, events = await spawn(json.dumps(order(**members)).encode() + b"\n")
    assert events[-1]["event"] == "ready", events
    http = aiohttp.ClientSession(
        f"http://127.0.0.1:{events[-1]['port']}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        connector=aiohttp.TCPConnector(limit=0),
    )
    try:
        async with http:
            yield Worker(process, events, http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    async with running() as started:
        yield started


@pytest.fixture
async def endless(tmp_path: Path) -> AsyncIterator[Worker]:
    """The shipped model with a context far beyond its training and no token that ends an answer in practice:
    what it says is nonsense, and it goes on for minutes."""
    raw = shipped()[0].path.read_bytes()
    for key, value in (("llama.context_length", 200_000), ("tokenizer.ggml.eos_token_id", 3)):
        place = raw.index(key.encode()) + len(key) + 4
        raw = raw[:place] + value.to_bytes(4, "little") + raw[place + 4 :]
    path = tmp_path / "endless.gguf"
    path.write_bytes(raw)
    async with running(model_path=str(path)) as started:
        yield started
