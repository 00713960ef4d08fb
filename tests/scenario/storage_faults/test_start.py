"""A start on a disk without room says so; once there is room the same home starts."""

import asyncio
import signal

import pytest

from hivemark.errors import HivemarkError

from ..faults.conftest import Network, until
from .conftest import SMALL_MIB, ask
from .disks import mount, unmount


async def test_a_start_on_a_full_disk_says_so(network: Network) -> None:
    disk = mount(network.home.root, size_mib=SMALL_MIB)
    if isinstance(disk, str):
        pytest.skip(f"NOT TESTED: a start on a full disk; no file system can be mounted here: {disk}")
    try:
        network.start_coordinator()
        first = network.coordinator
        assert first is not None
        first.process.send_signal(signal.SIGTERM)
        first.process.wait(10)
        disk.fill(first.process.pid)
        with pytest.raises(HivemarkError) as refused:
            network.start_coordinator()
        assert (refused.value.code, "room" in (refused.value.hint or "")) == ("storage_full", True)
        disk.free(first.process.pid)
        network.start_coordinator()
        await until(lambda: _is_ready(network))
    finally:
        network.stop()
        unmount(disk)


async def _is_ready(network: Network) -> bool:
    return (await asyncio.to_thread(ask, f"{network.url}/health/ready")).status == 200
