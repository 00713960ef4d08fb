"""Programs of others: the official OpenAI client, curl, and simonw/llm ask a hivemark network."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from .conftest import ASK, MODEL, Calls, Network

WORDS = {"words": 12}
TALK: Any = [{"role": "user", "content": "What is there?"}]


@pytest.fixture
async def client(network: Network, calls: Calls) -> openai.AsyncOpenAI:
    await network.add_hive("first", script=WORDS)
    return openai.AsyncOpenAI(base_url=f"{network.url}/v1", api_key=calls.key, max_retries=0)


async def test_the_official_client_lists_and_asks(client: openai.AsyncOpenAI, calls: Calls) -> None:
    assert MODEL in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve(MODEL)).id == MODEL
    raw = await client.chat.completions.with_raw_response.create(
        model=MODEL, messages=TALK, seed=3, temperature=0, max_completion_tokens=50, user="somebody"
    )
    answer = raw.parse()
    text = answer.choices[0].message.content
    assert text and answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.completion_tokens == 12
    await calls.require_output(raw.headers["Hivemark-Execution"], text)


async def test_the_official_client_streams(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=TALK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) == 12
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 12


async def test_the_official_client_knows_our_errors(client: openai.AsyncOpenAI, network: Network) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="gpt-9", messages=TALK)
    assert missing.value.code == "model_not_found" and missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as many:
        await client.chat.completions.create(model=MODEL, messages=TALK, n=2)
    assert many.value.param == "n"
    stranger = openai.AsyncOpenAI(base_url=f"{network.url}/v1", api_key="hm_" + "x" * 43, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        await stranger.models.list()


async def test_a_stream_that_breaks_off_is_an_error_to_the_official_client(
    client: openai.AsyncOpenAI,
) -> None:
    broken: Any = [{"role": "user", "content": "Go. [[fault=crash_middle]]"}]
    stream = await client.chat.completions.create(model=MODEL, messages=broken, stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


async def test_curl_asks(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    command = ["curl", "-sS", "--fail-with-body", "-N", f"{network.url}/v1/chat/completions"]
    command += ["-H", f"Authorization: Bearer {calls.key}", "-H", "Content-Type: application/json"]
    command += ["-d", json.dumps({**ASK, "stream": True})]
    said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    events = [line for line in said.stdout.splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]" and len(events) > 12


async def test_llm_asks(network: Network, calls: Calls, tmp_path: Path) -> None:
    """simonw/llm, as its documentation adds a server that speaks OpenAI's form."""
    await network.add_hive("first", script=WORDS)
    (tmp_path / "extra-openai-models.yaml").write_text(
        json.dumps([{"model_id": "tiny", "model_name": MODEL, "api_base": f"{network.url}/v1",
                     "api_key_name": "hivemark"}])
    )  # fmt: skip
    (tmp_path / "keys.json").write_text(json.dumps({"hivemark": calls.key}))
    command = [str(Path(sys.executable).with_name("llm")), "-m", "tiny", "What is there?"]
    for more in ([], ["--no-stream"]):
        said = await asyncio.to_thread(
            subprocess.run,
            [*command, *more],
            capture_output=True,
            text=True,
            env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
            timeout=60,
        )
        assert said.returncode == 0, said.stderr
        assert len(said.stdout.split()) == 12
