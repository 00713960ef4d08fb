"""A real llama.cpp serves a shipped model: chats, vectors, prompts and schemas, each with a receipt."""

import json
from typing import Any

from hivemark.protocol.answers import read_whole

from .conftest import Calls, Network

LLAMA = {"engine": "llama.cpp"}


async def test_llama_cpp_answers_whole_and_streamed(network: Network, calls: Calls) -> None:
    await network.add_real_hive("first", **LLAMA)
    said: Any = [{"role": "user", "content": "What is the capital of Peru?"}]
    status, headers, body = await calls.post(messages=said, temperature=0, max_tokens=30)
    assert status == 200, body
    text = body["choices"][0]["message"]["content"]
    assert "Lima" in text
    await calls.require_output(headers["Hivemark-Execution"], text)
    stream = await calls.stream(messages=said, temperature=0, max_tokens=30)
    assert stream.done and stream.text == text
    _, verdict = await calls.verified(stream.execution)
    assert verdict.receipt is not None and verdict.receipt.engine.name == "llama.cpp"
    assert verdict.receipt.usage is not None and verdict.receipt.usage.prompt_tokens > 0
    async with network.client() as client:
        (hive,) = await client.hives()
        assert {model.engine for model in hive.models} == {"llama.cpp"}


async def test_llama_cpp_embeds_completes_and_keeps_to_a_schema(network: Network, calls: Calls) -> None:
    await network.add_real_hive("first", **LLAMA)
    status, headers, body = await calls.post("/embeddings", input=["a cat", "a dog"], messages=None)
    assert status == 200, body
    assert len(body["data"]) == 2 and len(body["data"][0]["embedding"]) > 100
    output = read_whole("embeddings", json.dumps(body).encode()).text
    await calls.require_output(headers["Hivemark-Execution"], output)
    status, headers, body = await calls.post("/completions", prompt="Once upon", max_tokens=8, messages=None)
    assert status == 200, body
    await calls.require_output(headers["Hivemark-Execution"], body["choices"][0]["text"])
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    status, _, body = await calls.post(response_format=wanted, max_tokens=60, temperature=0)
    assert status == 200 and body["choices"][0]["message"]["content"].lstrip().startswith("{")


async def test_a_context_that_is_full_is_an_error(network: Network, calls: Calls) -> None:
    await network.add_real_hive("first", **LLAMA)
    long = [{"role": "user", "content": "bee " * 3_000}]
    status, _, body = await calls.post(messages=long)
    assert status == 400 and "context" in body["error"]["message"]


async def test_our_own_engine_answers_too(network: Network, calls: Calls) -> None:
    await network.add_real_hive("first")
    said: Any = [{"role": "user", "content": "What is the capital of Peru?"}]
    stream = await calls.stream(messages=said, temperature=0, max_tokens=30, logprobs=True, top_logprobs=2)
    assert stream.done and "Lima" in stream.text
    assert stream.events[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    _, verdict = await calls.verified(stream.execution)
    assert verdict.receipt is not None and verdict.receipt.engine.name == "hivemark-engine"
    status, _, body = await calls.post(mirostat=2)
    assert (status, body["error"]["param"]) == (400, "mirostat")
    long = [{"role": "user", "content": "bee " * 3_000}]
    status, _, body = await calls.post(messages=long)
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
