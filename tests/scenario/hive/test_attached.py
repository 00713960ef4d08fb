"""A server that runs anyway: used as it is, offered only while it answers."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

DIGEST = "b" * 64


@asynccontextmanager
async def server(*flags, port=0):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hivemark.testing.engine", "--port", str(port), "--model", "big", *flags),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            yield json.loads(await process.stdout.readline())["port"], process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def attached_hive(coordinator, hives, port, tmp_path):
    key = tmp_path / "api.key"
    key.write_text("a-secret-key\n")
    home = await hives.join()
    config = home / "hive.toml"
    engine = f'[[engines]]\nname = "attached"\nurl = "http://127.0.0.1:{port}/v1"\napi_key_file = "{key}"\n'
    hive = config.read_text().replace("[hive]\n", "[hive]\nshipped_models = false\n")
    config.write_text(f"{hive}\n{engine}")
    started = await hives.start(home)
    await coordinator.wait(lambda: coordinator.offers)
    return started


async def test_its_models_are_offered_with_the_digest_it_tells_and_run(coordinator, hives, tmp_path):
    async with server("--token", "a-secret-key", "--weights-sha256", DIGEST) as (port, _):
        hive = await attached_hive(coordinator, hives, port, tmp_path)
        (model,) = coordinator.offers[-1].models
        assert (model.name, model.weights_sha256, model.engine) == ("big", DIGEST, "attached")
        receipt = await coordinator.result(await coordinator.lease("big"))
        assert receipt.outcome == "completed" and receipt.engine.name == "attached"
        assert receipt.absent["engine.build"] == "not told by the engine"
        assert hive.workers() == []
        assert "a-secret-key" not in (hive.home / "log").read_text()


async def test_a_server_that_is_gone_leaves_the_offer_and_comes_back_with_it(coordinator, hives, tmp_path):
    async with server("--token", "a-secret-key") as (port, process):
        await attached_hive(coordinator, hives, port, tmp_path)
        attempt = await coordinator.lease("big", "[[token_delay_s=0.5]]")
        await coordinator.wait(lambda: coordinator.started)
        process.kill()
        failed = await coordinator.result(attempt)
        assert failed.failure.code == "connection_lost" and failed.failure.transient
        assert coordinator.offers[-1].models == ()
    async with server("--token", "a-secret-key", port=port):
        await coordinator.wait(lambda: coordinator.offers[-1].models)
        assert (await coordinator.result(await coordinator.lease("big"))).outcome == "completed"
