"""Blobs and tiles in folders: whole or absent, synced, and checked when read."""

import hashlib
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hivemark.coordinator.store import FolderBlobStore, FolderTileStore, StorageUnavailable
from hivemark.errors import InternalError, InvalidError
from hivemark.testing.faults import Faults, FaultyBlobStore


@contextmanager
def disk_full_after(size_bytes: int) -> Iterator[None]:
    """The kernel refuses writes beyond this size, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_blob_is_found_by_the_digest_of_its_bytes(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    digest = store.put(b"content")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert store.get(digest) == b"content"
    assert store.put(b"content") == digest
    assert files_of(tmp_path) == [f"{digest[:2]}/{digest[2:]}"]
    assert store.get("0" * 64) is None
    assert store.get("../../etc/passwd") is None


def test_a_damaged_blob_is_never_handed_out(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    digest = store.put(b"content")
    (tmp_path / digest[:2] / digest[2:]).write_bytes(b"c0ntent")
    with pytest.raises(InternalError) as damaged:
        store.get(digest)
    assert damaged.value.code == "blob_damaged"


def test_a_blob_cut_short_by_something_else_is_written_again(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    digest = store.put(b"content")
    (tmp_path / digest[:2] / digest[2:]).write_bytes(b"con")
    store.put(b"content")
    assert store.get(digest) == b"content"


def test_a_full_disk_leaves_no_half_blob(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    content = bytes(100_000)
    with disk_full_after(4_096), pytest.raises(StorageUnavailable):
        store.put(content)
    assert files_of(tmp_path) == []
    assert store.get(store.put(content)) == content


def test_a_full_disk_leaves_the_tile_before(tmp_path: Path) -> None:
    tiles = FolderTileStore(tmp_path)
    tiles.write("checkpoint", b"old")
    with disk_full_after(4_096), pytest.raises(StorageUnavailable):
        tiles.write("checkpoint", bytes(100_000))
    assert tiles.read("checkpoint") == b"old"
    assert files_of(tmp_path) == ["checkpoint"]


def test_a_write_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, rename, folder: in this order, and the folders above that were made on the way."""
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noting_sync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append("folder " + target.name if target.is_dir() else "file")
        sync(descriptor)

    def noting_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_sync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    FolderTileStore(tmp_path / "log").write("tile/0/000", b"hashes")
    made = [f"folder {name}" for name in (tmp_path.name, "log", "tile")]
    assert steps == [*made, "file", "rename", "folder 0"]


@pytest.mark.parametrize("path", ["../checkpoint", "/etc/passwd", "tile/0/../../x", "tile/0/1", "", "tile"])
def test_no_other_file_can_be_named(tmp_path: Path, path: str) -> None:
    tiles = FolderTileStore(tmp_path)
    with pytest.raises(InvalidError):
        tiles.read(path)
    with pytest.raises(InvalidError):
        tiles.write(path, b"x")


def test_pings_notice_a_folder_that_is_gone(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path / "blobs")
    store.ping()
    (tmp_path / "blobs").rmdir()
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(StorageUnavailable):
        store.ping()


def test_faults_strike_where_they_are_told(tmp_path: Path) -> None:
    faults = Faults("disk_full", at=2)
    store = FaultyBlobStore(FolderBlobStore(tmp_path), faults)
    first = store.put(b"1")
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            store.put(b"2")
    assert store.get(first) == b"1"
    assert (faults.count, faults.writes, faults.names) == (4, 3, ["put", "put", "put", "get"])
