"""The networks of `tests/scenario/faults`, with a disk under them that can be filled."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hivemark.client.views import Job
from hivemark.protocol.base64strict import decode_base64
from hivemark.translog.checkpoint import Checkpoint
from hivemark.translog.merkle import verify_consistency
from hivemark.translog.policy import Policy, parse_policy

from ..faults.conftest import Network, follow
from .disks import Disk, NoRoom, mount, unmount

SMALL_MIB = 12


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Not started yet."""
    running = Network(tmp_path)
    yield running
    running.stop()


@pytest.fixture(params=["small_disk", "no_room"])
def disk_under(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Disk]]:
    """Puts a disk that can be filled under a folder; before the network, so that it goes after it."""
    with ExitStack() as stack:

        def put(folder: Path) -> Disk:
            if request.param == "no_room":
                return NoRoom()
            disk = mount(folder, size_mib=SMALL_MIB)
            if isinstance(disk, str):
                pytest.skip(f"NOT TESTED: a really full disk; no file system can be mounted here: {disk}")
            stack.callback(unmount, disk)
            return disk

        yield put


@dataclass(frozen=True, slots=True)
class Answer:
    """What a plain GET or POST was told."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str) -> Answer:
    """GET, with refusals as answers."""
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read())


def checkpoint_of(network: Network) -> Checkpoint:
    """What the log shows now, checked against the pinned policy."""
    return _policy(network).verify_checkpoint(ask(f"{network.url}/log/checkpoint").body).checkpoint


def require_one_history(network: Network, before: Checkpoint) -> None:
    """What was shown before is a prefix of what is shown now, by the log's own consistency proof."""
    now = checkpoint_of(network)
    assert now.size >= before.size > 0
    if now.size == before.size:
        assert now.root == before.root
        return
    url = f"{network.url}/api/v1/transparency/consistency?from={before.size}&to={now.size}"
    verify_consistency(
        first=before.size,
        first_root=before.root,
        second=now.size,
        second_root=now.root,
        proof=[decode_base64(item) for item in ask(url).json["hashes"]],
    )


def _policy(network: Network) -> Policy:
    return parse_policy(network.home.policy.read_bytes())


async def finish(network: Network, job: str) -> Job:
    """The job once it is done: complete, sound, every receipt verified from its file."""
    async with network.client() as client:
        async for _ in follow(client, job):
            pass
        view = await client.job(job, executions=True)
        assert (view.state, view.progress.completed) == ("completed", view.progress.cells)
        await network.require_sound(client, view)
    return view


def require_clean(network: Network) -> None:
    """What `hivemark fsck` says of book, jobs, log, tiles and texts."""
    command = [sys.executable, "-m", "hivemark.cli", "fsck", "--home", str(network.home.root), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"problems": []}
