"""An OpenAI client asks the coordinator, and gets answers that it can prove."""

import json

from .conftest import MODEL, Calls, Network

WORDS = {"words": 12}


async def test_a_chat_is_answered_whole(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    status, headers, body = await calls.post(seed=7)
    assert status == 200, body
    assert body["object"] == "chat.completion"
    assert body["usage"]["completion_tokens"] == 12
    text = body["choices"][0]["message"]["content"]
    bundle = await calls.require_output(headers["Hivemark-Execution"], text)
    assert bundle.disclosed.output.text is None, "no text is kept unless it was asked for"


async def test_a_chat_is_streamed(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    stream = await calls.stream(stream_options={"include_usage": True})
    assert (stream.status, stream.done, stream.error) == (200, True, None)
    assert stream.events[-1]["choices"] == [] and stream.events[-1]["usage"]["completion_tokens"] == 12
    note = json.loads(stream.comments[-1].removeprefix("hivemark "))
    assert note["execution"] == stream.execution
    await calls.require_output(stream.execution, stream.text)


async def test_models_are_listed(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    status, body = await calls.get("/models")
    assert status == 200
    assert MODEL in [model["id"] for model in body["data"]]
    assert (await calls.get(f"/models/{MODEL}"))[0] == 200
    status, body = await calls.get("/models/none")
    assert status == 404 and body["error"]["code"] == "model_not_found"
