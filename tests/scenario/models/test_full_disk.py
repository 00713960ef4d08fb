"""A disk without room: refused before when that can be known, else the part is kept and gone on with."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..storage_faults.disks import SmallDisk, mount, unmount
from .conftest import FILE, SIZE, Desk
from .source import ModelServer, Reply, Script, serve_file

Serve = Callable[[Script], ModelServer]
SMALL_MIB = 6


@pytest.fixture
def small_disk(desk: Desk) -> Iterator[SmallDisk]:
    disk = mount(desk.models, size_mib=SMALL_MIB)
    if isinstance(disk, str):
        pytest.skip(f"NOT TESTED: a really full disk; no file system can be mounted here: {disk}")
    yield disk
    unmount(disk)


def test_a_file_that_cannot_fit_is_refused_before_it_is_fetched(
    desk: Desk, serve: Serve, small_disk: SmallDisk
) -> None:
    server = serve(lambda request: Reply(200, {"Content-Length": str(10**12)}, FILE))
    refused = desk.refused(f"{server.url}/m.gguf")
    assert refused["code"] == "storage_full" and "1,000.00 GB are missing" in refused["message"]
    assert "free" in refused["next"] and str(desk.models) in refused["next"]
    assert desk.names() == []


def test_a_disk_that_fills_up_keeps_the_part_and_the_next_pull_goes_on(
    desk: Desk, serve: Serve, small_disk: SmallDisk
) -> None:
    half = 1_000_000
    server = serve(lambda request: Reply(200, {"ETag": '"v1"'}, FILE, half, True, True))
    process = desk.start("models", "pull", f"{server.url}/m.gguf")
    part = desk.models / "m.gguf.part"
    while not part.exists() or part.stat().st_size < half:
        assert process.poll() is None
    small_disk.fill(process.pid)
    server.released.set()  # the rest finds no room
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "is full" in err and "(storage_full)" in err and "next: free" in err, out + err
    server.script = serve_file(FILE)
    assert desk.refused(f"{server.url}/m.gguf")["code"] == "storage_full"
    small_disk.free(process.pid)
    assert desk.pull(f"{server.url}/m.gguf")["size_bytes"] == len(FILE)
    assert (server.requests[-1].first or 0) >= half


def test_a_write_that_fails_midway_keeps_the_part(desk: Desk, serve: Serve) -> None:
    """A limit on the length of files fails a write in the middle, as a full disk does; it needs no rights."""
    server = serve(serve_file(FILE))
    limit = 2_000_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))  # inherited by the command
    try:
        process = desk.start("models", "pull", f"{server.url}/m.gguf")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _, err = process.communicate(timeout=60)
    assert "storage_full" in err and f"2.0 MB of {SIZE} are here and are kept" in err
    assert (desk.models / "m.gguf.part").stat().st_size == limit
    assert desk.pull(f"{server.url}/m.gguf")["size_bytes"] == len(FILE)
    assert server.requests[-1].first == limit


def test_the_folder_may_be_a_link_to_another_disk(desk: Desk, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    desk.home.mkdir()
    desk.models.symlink_to(tmp_path / "large")
    server = serve(serve_file(FILE))
    assert desk.pull(f"{server.url}/m.gguf")["path"] == str(desk.models / "m.gguf")
    assert (tmp_path / "large" / "m.gguf").read_bytes() == FILE
