"""What engines can do beyond chat reaches the client as they said it, and is proved."""

import base64
import json
import struct
from typing import Any

import openai

from hivemark.protocol.answers import ToolCalls, read_whole
from hivemark.testing.engine.script import embedding

from .conftest import Calls, Network

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
WANTED = [{"name": "weather", "arguments": {"city": city}} for city in ("Lima", "Rome")]
CALLING = {"tool_calls": json.dumps(WANTED)}


async def test_tools_are_called_through_an_attached_engine(network: Network, calls: Calls) -> None:
    await network.attach("first", script=CALLING)
    status, headers, body = await calls.post(model="scripted", tools=TOOLS)
    assert status == 200, body
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert [json.loads(call["function"]["arguments"]) for call in choice["message"]["tool_calls"]] == [
        {"city": "Lima"},
        {"city": "Rome"},
    ]
    whole = calls_of(choice["message"]["tool_calls"])
    await calls.require_output(headers["Hivemark-Execution"], whole)
    stream = await calls.stream(model="scripted", tools=TOOLS)
    assert stream.done and stream.tool_calls == whole
    await calls.require_output(stream.execution, whole)


async def test_the_official_client_calls_tools(network: Network, calls: Calls) -> None:
    await network.attach("first", script=CALLING)
    client = openai.AsyncOpenAI(base_url=f"{network.url}/v1", api_key=calls.key, max_retries=0)
    async with client.chat.completions.stream(
        model="scripted", messages=[{"role": "user", "content": "Weather?"}], tools=TOOLS
    ) as stream:
        final = await stream.get_final_completion()
    said = final.choices[0].message.tool_calls
    assert said is not None and [call.function.name for call in said] == ["weather", "weather"]


async def test_embeddings_as_numbers_and_as_base64(network: Network, calls: Calls) -> None:
    await network.attach("first", script={})
    body = {"model": "scripted", "input": ["one text", "another"], "messages": None}
    status, headers, said = await calls.post("/embeddings", **body)
    assert status == 200, said
    assert [entry["embedding"] for entry in said["data"]] == [embedding("one text"), embedding("another")]
    output = read_whole("embeddings", json.dumps(said).encode()).text
    await calls.require_output(headers["Hivemark-Execution"], output)
    status, headers, said = await calls.post("/embeddings", **body, encoding_format="base64")
    raw = base64.b64decode(said["data"][0]["embedding"])
    assert list(struct.unpack("<8f", raw)) == embedding("one text")


async def test_the_official_client_embeds(network: Network, calls: Calls) -> None:
    await network.attach("first", script={})
    client = openai.AsyncOpenAI(base_url=f"{network.url}/v1", api_key=calls.key, max_retries=0)
    made = await client.embeddings.create(model="scripted", input="one text")
    assert made.data[0].embedding == embedding("one text")


async def test_prompts_are_completed(network: Network, calls: Calls) -> None:
    await network.attach("first", script={"words": 9})
    client = openai.AsyncOpenAI(base_url=f"{network.url}/v1", api_key=calls.key, max_retries=0)
    raw = await client.completions.with_raw_response.create(
        model="scripted", prompt="Once", seed=5, max_tokens=20
    )
    text = raw.parse().choices[0].text
    assert len(text.split()) == 9
    await calls.require_output(raw.headers["Hivemark-Execution"], text)
    chunks = await client.completions.create(
        model="scripted", prompt="Once", seed=5, max_tokens=20, stream=True
    )
    assert "".join([chunk.choices[0].text async for chunk in chunks]) == text


async def test_members_that_we_do_not_know_reach_the_engine(network: Network, calls: Calls) -> None:
    """They are refused by our own worker, by name; an attached engine gets them as they were posted."""
    await network.attach("first", script={"words": 3})
    assert (await calls.post(model="scripted", mirostat=2, nested={"deep": [1, None]}))[0] == 200


def calls_of(listed: list[dict[str, Any]]) -> str:
    body = {"choices": [{"index": 0, "message": {"tool_calls": listed}}]}
    merged = ToolCalls()
    merged.add(read_whole("chat.completions", json.dumps(body).encode()).tool_calls)
    return merged.encode()
