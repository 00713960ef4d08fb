"""A network that answers OpenAI clients: a coordinator, hives with scripted engines, an API key."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hivemark.client.calltexts import Texts
from hivemark.client.verify import Verdict, verify_bundle
from hivemark.errors import HivemarkError
from hivemark.protocol.answers import ToolCalls, read_chunk
from hivemark.protocol.bundle import Bundle, parse_bundle
from hivemark.translog.policy import parse_policy

from ..faults.conftest import Network, until

MODEL = "hivemark-tiny-a"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "What is there?"}]}


@dataclass
class Stream:
    """What a client read of one stream."""

    status: int
    execution: str
    raw: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    done: bool = False

    @property
    def text(self) -> str:
        return "".join(read_chunk(json.dumps(event).encode()).text for event in self.events)

    @property
    def error(self) -> dict[str, Any] | None:
        return next((event["error"] for event in self.events if "error" in event), None)

    @property
    def tool_calls(self) -> str:
        calls = ToolCalls()
        for event in self.events:
            calls.add(read_chunk(json.dumps(event).encode()).tool_calls)
        return calls.encode()

    def feed(self, line: bytes) -> None:
        if line.startswith(b":"):
            self.comments.append(line[1:].strip().decode())
        elif line.startswith(b"data: [DONE]"):
            self.done = True
        elif line.startswith(b"data: "):
            self.events.append(json.loads(line[6:]))


@dataclass
class Calls:
    """An OpenAI client of the plainest kind."""

    network: Network
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def post(self, path: str = "/chat/completions", **body: Any) -> tuple[int, Mapping[str, str], Any]:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.network.url}/v1{path}", json={**ASK, **body}, headers=self.headers) as response,
        ):
            return response.status, response.headers, await response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.network.url}/v1{path}", headers=self.headers) as response,
        ):
            return response.status, await response.json()

    @asynccontextmanager
    async def open(self, **body: Any) -> AsyncIterator[tuple[Stream, aiohttp.ClientResponse]]:
        async with (
            aiohttp.ClientSession(read_bufsize=2**24) as http,
            http.post(
                f"{self.network.url}/v1/chat/completions",
                json={**ASK, "stream": True, **body},
                headers=self.headers,
            ) as response,
        ):
            yield Stream(response.status, response.headers.get("Hivemark-Execution", "")), response

    async def stream(self, on_event: Callable[[Stream], None] = lambda _: None, **body: Any) -> Stream:
        async with self.open(**body) as (stream, response):
            async for line in response.content:
                stream.raw += line
                before = len(stream.events)
                stream.feed(line)
                if len(stream.events) > before:
                    on_event(stream)
        return stream

    async def bundle(self, execution: str) -> Bundle:
        """Once the log covers it."""
        found: list[Bundle] = []

        async def is_there() -> bool:
            async with (
                aiohttp.ClientSession() as http,
                http.get(
                    f"{self.network.url}/api/v1/executions/{execution}/bundle", headers=self.headers
                ) as response,
            ):
                if response.status == 200:
                    found.append(parse_bundle(await response.read()))
                return bool(found)

        await until(is_there)
        return found[0]

    async def verified(self, execution: str, texts: Texts | None = None) -> tuple[Bundle, Verdict]:
        bundle = await self.bundle(execution)
        policy = parse_policy(self.network.home.policy.read_bytes())
        return bundle, verify_bundle(bundle, policy, texts=texts)

    async def require_output(self, execution: str, output: str) -> Bundle:
        """The receipt of an accepted answer commits to exactly this output."""
        bundle, verdict = await self.verified(execution, Texts(output=output))
        assert verdict.acceptance is not None and verdict.receipt is not None
        assert verdict.acceptance.outcome == "accepted"
        assert "output" in [check.name for check in verdict.checks]
        return bundle

    async def require_cut(self, execution: str, given: str) -> tuple[Bundle, Verdict]:
        """The acceptance says that it was cut, and commits to what the client read."""
        bundle, verdict = await self.verified(execution, Texts(output=given))
        acceptance = verdict.acceptance
        assert acceptance is not None and acceptance.outcome == "cut"
        assert acceptance.delivered is not None and acceptance.delivered.bytes == len(given.encode())
        assert "delivered" in [check.name for check in verdict.checks]
        return bundle, verdict


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    running = Network(tmp_path)
    running.start_coordinator()
    yield running
    assert running.problems() == []
    running.stop()


@pytest.fixture
async def calls(network: Network) -> Calls:
    return Calls(network, await make_key(network))


async def make_key(network: Network, **options: Any) -> str:
    """The token of a new API key."""
    async with network.client() as client:
        answer = await client._post("/api/v1/api-keys", {"name": "test", **options})
        return str(json.loads(answer)["token"])


__all__ = ["ASK", "MODEL", "Calls", "HivemarkError", "Network", "Stream", "asyncio", "make_key", "until"]
