"""An OpenAI client asks the coordinator, and gets answers that it can prove."""

import json
import subprocess
import sys
from pathlib import Path

from hivemark.protocol.bundle import encode_bundle

from .conftest import ASK, MODEL, Calls, Network

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


async def test_whoever_asked_verifies_with_his_own_texts(
    network: Network, calls: Calls, tmp_path: Path
) -> None:
    """By the command, from files alone: the body as posted and the answer as it came, JSON and stream."""
    await network.add_hive("first", script={"words": 150})
    body = {**ASK, "user": "not for hives", "stop": ["never said"], "max_tokens": 200}
    status, headers, answer = await calls.post(**body)
    assert status == 200
    stream = await calls.stream(**body)
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, raw, execution, asked in (
        ("whole", json.dumps(answer).encode(), headers["Hivemark-Execution"], body),
        ("stream", stream.raw, stream.execution, {**body, "stream": True}),
    ):
        (folder / "bundle.json").write_bytes(encode_bundle(await calls.bundle(execution)))
        (folder / "body.json").write_text(json.dumps(asked))
        (folder / "answer").write_bytes(raw)
        said = verify(network, folder)
        assert said.returncode == 0, f"{name}: {said.stdout}"
        assert "the body is the one that was signed for" in said.stdout
        (folder / "answer").write_bytes(raw.replace(b"amber", b"ambre"))
        said = verify(network, folder)
        assert said.returncode == 3 and "disclosure_mismatch" in said.stdout
        (folder / "answer").write_bytes(raw)
        (folder / "body.json").write_text(json.dumps({**asked, "temperature": 0.1}))
        assert verify(network, folder).returncode == 3


async def test_texts_are_kept_when_they_are_asked_for(network: Network, calls: Calls) -> None:
    await network.add_hive("first", script=WORDS)
    status, headers, answer = await calls.post(store=True)
    assert status == 200
    bundle = await calls.bundle(headers["Hivemark-Execution"])
    assert bundle.disclosed.output is not None and bundle.disclosed.request is not None
    assert bundle.disclosed.output.text == answer["choices"][0]["message"]["content"]
    assert bundle.disclosed.request.value["call"]["body"] == ASK


async def test_no_text_of_a_call_is_anywhere(network: Network, calls: Calls) -> None:
    """Neither what was asked nor what was answered is in any file of coordinator and hive."""
    await network.add_hive("first", script={"answer": "the zanzibar reply"})
    secret = "a question about quinquereme"
    status, headers, _ = await calls.post(messages=[{"role": "user", "content": secret}])
    stream = await calls.stream(messages=[{"role": "user", "content": secret}])
    assert status == 200 and stream.done
    await calls.bundle(headers["Hivemark-Execution"])
    await calls.bundle(stream.execution)
    scripts = ("hive.toml",)  # where the test itself wrote the answer down
    files = [path for path in network.root.rglob("*") if path.is_file() and path.name not in scripts]
    assert len(files) > 10
    for path in files:
        raw = path.read_bytes()
        assert b"quinquereme" not in raw and b"zanzibar" not in raw, path


def verify(network: Network, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "hivemark.cli", "verify", str(folder / "bundle.json")]
    command += ["--policy", str(network.home.policy), "--request", str(folder / "body.json")]
    command += ["--answer", str(folder / "answer"), "--home", str(folder / "no-home"), "--details"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
