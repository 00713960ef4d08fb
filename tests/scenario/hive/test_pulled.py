"""A running hive and the models that are pulled and removed under it."""

import asyncio
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from hivemark.models_shipped import shipped

MODEL = shipped()[0].path.read_bytes() + bytes(64)  # a model of its own digest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


async def command(home: Path, *arguments: str, code: int = 0) -> Any:
    """`hivemark …` beside the running hive."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hivemark.cli", *arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "HIVEMARK_HOME": str(home)},
    )
    out, _ = await process.communicate()
    assert process.returncode == code, out
    return json.loads(out.splitlines()[-1])


def offered(coordinator) -> dict[str, Any]:
    return {model.name: model for model in coordinator.offers[-1].models} if coordinator.offers else {}


async def test_a_pulled_model_is_offered_answers_is_held_and_goes_when_it_is_removed(
    coordinator, hives, home: Path, tmp_path: Path
) -> None:
    hive = await hives.start(await hives.join(), "--models", str(home / "models"))
    await coordinator.wait(lambda: coordinator.offers)
    (tmp_path / "mine.gguf").write_bytes(MODEL)
    pulled = await command(home, "models", "pull", f"file:{tmp_path}/mine.gguf")
    await coordinator.wait(lambda: "mine" in offered(coordinator))
    model = offered(coordinator)["mine"]
    assert (model.weights_sha256, model.quantisation, model.bytes) == (pulled["sha256"], "q8_0", len(MODEL))
    assert model.context_tokens == shipped()[0].context_tokens

    attempt = await coordinator.lease("mine", "What is 2 plus 3?")
    receipt = await coordinator.result(attempt, timeout_s=60)
    assert receipt.outcome == "completed", receipt.failure
    assert receipt.model.weights_sha256 == pulled["sha256"]
    await coordinator.wait(lambda: offered(coordinator)["mine"].loaded)

    async with asyncio.timeout(20):  # the hive looks about every second
        refused = {"code": "removed too early"}
        while refused["code"] != "model_in_use":
            (file,) = (home / "models").glob("*.gguf")
            if not _is_held(file):
                await asyncio.sleep(0.05)
                continue
            refused = (await command(home, "models", "rm", "mine", code=1))["error"]
    assert "--force" in refused["next"]
    (worker,) = hive.workers()
    await command(home, "models", "rm", "mine", "--force")
    await coordinator.wait(lambda: "mine" not in offered(coordinator))
    async with asyncio.timeout(20):
        while worker.is_running() and worker.status() != "zombie":
            await asyncio.sleep(0.05)
    assert hive.process.returncode is None and list((home / "models").iterdir()) == []


def _is_held(file: Path) -> bool:
    """Whether some process has a lock on the file, as the kernel tells (Linux)."""
    inode = file.stat().st_ino
    return any(f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())


async def test_an_answer_that_is_being_made_when_its_model_is_removed_is_finished(
    coordinator, hives, home: Path, tmp_path: Path
) -> None:
    hive = await hives.start(await hives.join(), "--models", str(home / "models"))
    (tmp_path / "mine.gguf").write_bytes(MODEL)
    await command(home, "models", "pull", f"file:{tmp_path}/mine.gguf")
    await coordinator.wait(lambda: "mine" in offered(coordinator))
    attempt = await coordinator.lease("mine", "Tell me a story.", max_tokens=400)
    await coordinator.wait(lambda: attempt in coordinator.started)
    await command(home, "models", "rm", "mine", "--force")
    assert (await coordinator.result(attempt, timeout_s=60)).outcome == "completed"
    await coordinator.wait(lambda: "mine" not in offered(coordinator))
    assert hive.process.returncode is None


async def test_what_cannot_be_offered_is_left_out_with_a_reason_and_the_hive_goes_on(
    coordinator, hives, home: Path, tmp_path: Path
) -> None:
    joined = await hives.join()
    with (joined / "hive.toml").open("a") as file:
        file.write('\n[worker]\nengine = "hivemark"\n')  # llama.cpp computes many others
    hive = await hives.start(joined, "--models", str(home / "models"))
    foreign = MODEL.replace(struct.pack("<Q", 5) + b"llama", struct.pack("<Q", 5) + b"qwen2", 1)
    for name, content in (("good", MODEL), ("foreign", foreign), ("changed", MODEL + b"\0")):
        (tmp_path / f"{name}.gguf").write_bytes(content)
        pulled = await command(home, "models", "pull", f"file:{tmp_path}/{name}.gguf")
    assert "qwen2" in (await command(home, "models", "show", "foreign"))["problem"]
    assert pulled["name"] == "changed"
    await coordinator.wait(lambda: {"good", "changed"} <= offered(coordinator).keys())
    with (home / "models" / "changed.gguf").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    (home / "models" / "broken.gguf.json").write_bytes(b"{")  # the index changed: the hive looks again
    await coordinator.wait(lambda: "changed" not in offered(coordinator))
    assert "good" in offered(coordinator) and "foreign" not in offered(coordinator)
    reasons = {
        line["model"]: line["reason"] for line in hive.log() if line.get("event", "") and "reason" in line
    }
    assert "changed since it was pulled" in reasons["changed"] and "qwen2" in reasons["foreign"]
    assert "cannot be read" in reasons["broken"]
