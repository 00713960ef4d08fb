"""What is wrong is refused in OpenAI's form, and the next call is answered."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from .conftest import ASK, MODEL, Calls, Network, make_key

WORDS = {"words": 6}

REFUSED: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"messages": []}, 400, "invalid_value", "messages"),
    ({"messages": "hello"}, 400, "invalid_value", "messages"),
    ({"messages": [{"content": "x"}]}, 400, "invalid_value", "messages[0]"),
    ({"messages": [{"role": "user", "content": 7}]}, 400, "invalid_value", "messages[0].content"),
    ({"model": 7}, 400, "invalid_value", "model"),
    ({"model": "none"}, 404, "model_not_found", "model"),
    ({"n": 2}, 400, "invalid_value", "n"),
    ({"temperature": "hot"}, 400, "invalid_value", "temperature"),
    ({"temperature": 3}, 400, "invalid_value", "temperature"),
    ({"top_p": 0}, 400, "invalid_value", "top_p"),
    ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    ({"max_tokens": 1.5}, 400, "invalid_value", "max_tokens"),
    ({"max_tokens": 10**9}, 400, "invalid_value", "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, 400, "invalid_value", "max_tokens"),
    ({"seed": -1}, 400, "invalid_value", "seed"),
    ({"stop": ["a", "b", "c", "d", "e"]}, 400, "invalid_value", "stop"),
    ({"stream": "yes"}, 400, "invalid_value", "stream"),
]


async def test_bad_members_are_named(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    for body, status, code, param in REFUSED:
        answered, _, said = await calls.post(**body)
        assert (answered, said["error"]["code"], said["error"]["param"]) == (status, code, param), body
        assert set(said["error"]) == {"message", "type", "param", "code"}
    assert (await calls.post())[0] == 200


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "json_malformed"),
        (b"{", 400, "json_malformed"),
        (b"[]", 400, "json_not_object"),
        (b'{"model": "a", "model": "b"}', 400, "json_duplicate_key"),
        (b"\xff", 400, "json_utf8"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", 400, "json_depth"),
        (b'{"model": "' + b"x" * 1_000_000 + b'"}', 413, "too_large"),
    ],
)
async def test_bodies_that_are_none(
    network: Network, calls: Calls, raw: bytes, status: int, code: str
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{network.url}/v1/chat/completions", data=raw, headers=calls.headers) as response,
    ):
        said = await response.json()
    assert (response.status, said["error"]["code"]) == (status, code)


async def test_no_key_and_no_route(network: Network, calls: Calls) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{network.url}/v1/chat/completions", json=ASK) as response:
            assert response.status == 401
            assert (await response.json())["error"]["code"] == "invalid_api_key"
            assert response.headers["WWW-Authenticate"] == "Bearer"
        async with http.get(f"{network.url}/v1/nothing", headers=calls.headers) as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == "unknown_route"
        async with http.get(f"{network.url}/v1/chat/completions", headers=calls.headers) as response:
            assert response.status == 405


async def test_keys_are_held_to_scope_model_and_rate(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    calls.key = await make_key(network, scopes=["read"])
    status, _, said = await calls.post()
    assert (status, said["error"]["code"]) == (403, "scope_missing")
    calls.key = await make_key(network, models=["another"])
    status, _, said = await calls.post()
    assert (status, said["error"]["code"]) == (403, "model_not_allowed")
    calls.key = await make_key(network, requests_per_minute=2)
    first, headers, _ = await calls.post()
    assert first == 200 and headers["x-ratelimit-remaining-requests"] == "1"
    assert (await calls.post())[0] == 200
    status, headers, said = await calls.post()
    assert (status, said["error"]["code"]) == (429, "rate_limited")
    assert int(headers["Retry-After"]) >= 1


FAULTS = ["wrong_type", "garbage_json", "garbage_sse", "garbage_shape", "garbage_utf8", "half_line", "cut",
          "no_done", "huge_line", "error_status"]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_engine_that_talks_garbage(network: Network, calls: Calls, fault: str) -> None:
    """An error before the answer has begun, an error event after; never a broken event to the client."""
    await network.add_hive("first", script=WORDS)
    said = [{"role": "user", "content": f"Go. [[fault={fault}]]"}]
    stream = await calls.stream(messages=said)
    if stream.status == 200:
        assert not stream.done and stream.error is not None, fault
        for line in stream.raw.decode().splitlines():
            assert not line or line.startswith(("data: ", ": "))
        for event in stream.events:
            assert "error" in event or event["object"] == "chat.completion.chunk"
        assert (await calls.post(model=MODEL))[0] == 200
    else:  # tried three times, and three faults in a row withdraw a model for a while
        assert stream.status == 502
        assert json.loads(stream.raw)["error"]["type"] == "server_error"


async def test_an_answer_without_end_is_ended(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    said = [{"role": "user", "content": "Go. [[fault=endless]]"}]
    stream = await calls.stream(messages=said)
    assert stream.error is not None and not stream.done
    assert len(stream.text.encode()) < 3_000_000


async def test_many_clients_that_hardly_read_hold_nobody_up(network: Network, calls: Calls) -> None:
    await network.add_hive("first", slots=64, script={"words": 2_000})
    slow = [asyncio.create_task(_sip(network, calls)) for _ in range(40)]
    await asyncio.sleep(2)
    answers = await asyncio.gather(*(calls.post(max_tokens=5) for _ in range(4)))
    assert [status for status, _, _ in answers] == [200] * 4
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def _sip(network: Network, calls: Calls) -> None:
    """A byte a second."""
    host, port = network.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2)
    body = json.dumps({**ASK, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {calls.key}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    try:
        while await reader.read(1):
            await asyncio.sleep(1)
    finally:
        writer.close()
