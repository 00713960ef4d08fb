"""The coordinator is killed in the middle of the demo's job and started again: one job, one history."""

import asyncio
import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hivemark.cli.demo import signed_spec
from hivemark.cli.demo_network import DemoNetwork
from hivemark.cli.evidence import save_bundles, verify_saved
from hivemark.cli.home import Home
from hivemark.cli.programs import Program, start_child
from hivemark.protocol.base64strict import decode_base64
from hivemark.translog.merkle import verify_consistency
from hivemark.translog.policy import Policy, parse_policy

KILLED_AFTER = 24


@pytest.fixture
def network(tmp_path: Path) -> Any:
    with DemoNetwork(Home(tmp_path / "home")) as running:
        running.start_coordinator()
        running.start_hives()
        yield running


def test_the_demo_s_job_outlives_its_coordinator(network: DemoNetwork) -> None:
    asyncio.run(_outlive(network))


async def _outlive(network: DemoNetwork) -> None:
    policy = parse_policy(network.home.policy.read_bytes())
    async with network.client() as client, asyncio.timeout(150):
        await network.wait_until_linked(client)
        job = (await client.submit(signed_spec(network.home))).id
        before: bytes | None = None
        seqs, completed = [], []
        async for event in client.events(job):
            seqs.append(event.seq)
            completed += [event.body.execution] if event.name == "execution_completed" else []
            if before is None and len(completed) >= KILLED_AFTER:
                before = await asyncio.to_thread(_checkpoint, network.url)
                await asyncio.to_thread(_kill_and_restart, network)
        view = await client.job(job, executions=True)
        assert before is not None, "it was killed"
        assert (view.state, view.progress.completed) == ("completed", 96)
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(completed) == len(set(completed)) == 96
        folder = network.home.root / "receipts"
        paths = await save_bundles(client, view, folder, wait_s=30.0)
        assert verify_saved(paths, policy, folder=folder).count == 96
        _require_one_history(network.url, policy, before)


def _kill_and_restart(network: DemoNetwork) -> None:
    """At once, on the same port and home, as a supervisor would."""
    assert network.coordinator is not None
    network.coordinator.process.send_signal(signal.SIGKILL)
    network.coordinator.process.wait()
    address = network.url.removeprefix("http://")
    program = Program("coordinator", "hivemark.coordinator", network.home.root, ("--listen", address))
    network.coordinator = start_child(program, log=network.home.logs / "coordinator.log")


def _require_one_history(url: str, policy: Policy, before: bytes) -> None:
    """The checkpoint that was seen before the kill is a prefix of the one that stands now."""
    old = policy.verify_checkpoint(before).checkpoint
    new = policy.verify_checkpoint(_checkpoint(url)).checkpoint
    assert new.size > old.size > 0
    told = json.loads(_get(f"{url}/api/v1/transparency/consistency?from={old.size}&to={new.size}"))
    verify_consistency(
        first=old.size,
        first_root=old.root,
        second=new.size,
        second_root=new.root,
        proof=[decode_base64(item) for item in told["hashes"]],
    )


def _checkpoint(url: str) -> bytes:
    return _get(f"{url}/log/checkpoint")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        content: bytes = response.read()
    return content
