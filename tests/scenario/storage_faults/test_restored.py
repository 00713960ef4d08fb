"""Database and log folder of different ages, as after a restored backup: one history, or none is signed."""

import asyncio
import os
import shutil
import signal
import sqlite3
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from hivemark.coordinator.store import FolderTileStore
from hivemark.errors import NotFoundError
from hivemark.protocol.keys import PrivateKey
from hivemark.translog.append import RightEdge, plan_append
from hivemark.translog.checkpoint import Checkpoint, sign_checkpoint
from hivemark.translog.note import NoteSigner
from hivemark.translog.tiles import CHECKPOINT_PATH

from ..faults.conftest import Network, follow, until
from .conftest import ask, checkpoint_of, finish, require_clean, require_one_history

QUESTIONS = 10
COPIED_AFTER = 4
SLOW = {"words": 4, "token_delay_s": 0.01}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_an_older_database_takes_over_what_the_log_has(network: Network, end: signal.Signals) -> None:
    network.start_coordinator()
    await network.add_hive("hive", script=SLOW)
    async with network.client() as client:
        job = await network.submit(client, questions=QUESTIONS)
        finished = 0
        async for event in follow(client, job):
            finished += event.name == "execution_completed"
            if finished == COPIED_AFTER:
                _copy_database(network)
        unknown = await network.submit(client, questions=1)
        async for event in follow(client, unknown):
            assert event.name != "job_failed"
    await finish(network, job)
    before = await asyncio.to_thread(checkpoint_of, network)

    await asyncio.to_thread(_stop, network, end)
    _restore_database(network)
    await asyncio.to_thread(network.start_coordinator)

    view = await finish(network, job)
    async with network.client() as client:
        with pytest.raises(NotFoundError):
            await client.job(unknown)
    require_one_history(network, before)
    await until(lambda: _has_settled(network))
    assert network.earned_micro("hive") == _settled_micro(network)
    assert _accepted(network) == {each.id: 1 for each in view.executions}
    require_clean(network)


async def test_an_older_log_folder_and_a_lost_one_are_rebuilt(network: Network) -> None:
    before = await _two_jobs(network, copied="log")
    shutil.rmtree(network.home.root / "log")
    for older in (network.root / "kept", None):
        if older is not None:
            shutil.move(older, network.home.root / "log")
        await asyncio.to_thread(network.start_coordinator)
        await until(partial(_shows, network, before))
        async with network.client() as client:
            await finish(network, await network.submit(client, questions=1))
        require_one_history(network, before)
        require_clean(network)
        before = await asyncio.to_thread(checkpoint_of, network)
        await asyncio.to_thread(_stop, network, signal.SIGKILL)
        shutil.rmtree(network.home.root / "log")


async def test_the_log_folder_of_another_network_is_refused(network: Network) -> None:
    before = await _two_jobs(network, copied=None)
    shutil.move(network.home.root / "log", network.root / "kept")
    _write_foreign_log(network.home.root / "log")
    foreign = _files(network.home.root / "log")

    await asyncio.to_thread(network.start_coordinator)
    await until(lambda: _refuses(network, "log_key_differs"))
    assert _files(network.home.root / "log") == foreign

    await asyncio.to_thread(_stop, network, signal.SIGTERM)
    _replace_folder(network, "log")
    await asyncio.to_thread(network.start_coordinator)
    await until(lambda: _shows(network, before))
    require_clean(network)


async def test_a_database_that_went_another_way_signs_nothing(network: Network) -> None:
    """Somebody ran the restored database on an empty folder first, and only then put the log back."""
    before = await _two_jobs(network, copied="database")
    shutil.move(network.home.root / "log", network.root / "kept")
    _restore_database(network)
    await asyncio.to_thread(network.start_coordinator)
    async with network.client() as client:
        await until(lambda: _is_ready(network))
        await finish(network, await network.submit(client, questions=3))
    await asyncio.to_thread(_stop, network, signal.SIGTERM)
    _replace_folder(network, "log")
    files = _files(network.home.root / "log")

    await asyncio.to_thread(network.start_coordinator)
    await until(lambda: _refuses(network, "log_forked"))
    assert _files(network.home.root / "log") == files
    assert await asyncio.to_thread(checkpoint_of, network) == before


async def _two_jobs(network: Network, *, copied: str | None) -> Checkpoint:
    """Run one job, copy the database or the log, run another, stop; what the log showed then."""
    network.start_coordinator()
    await network.add_hive("hive", script=SLOW)
    async with network.client() as client:
        await finish(network, await network.submit(client, questions=3))
        if copied == "database":
            _copy_database(network)
        elif copied == "log":
            shutil.copytree(network.home.root / "log", network.root / "kept")
        await finish(network, await network.submit(client, questions=3))
    before = await asyncio.to_thread(checkpoint_of, network)
    await asyncio.to_thread(_stop, network, signal.SIGTERM)
    return before


def _stop(network: Network, end: signal.Signals) -> None:
    assert network.coordinator is not None
    network.coordinator.process.send_signal(end)
    network.coordinator.process.wait(10)


def _copy_database(network: Network) -> None:
    """As an operator copies a database in use: by SQLite's own backup."""
    source = sqlite3.connect(network.home.root / "hivemark.db")
    copy = sqlite3.connect(network.root / "older.db")
    source.backup(copy)
    source.close()
    copy.close()


def _restore_database(network: Network) -> None:
    for name in ("hivemark.db", "hivemark.db-wal", "hivemark.db-shm"):
        (network.home.root / name).unlink(missing_ok=True)
    shutil.copy(network.root / "older.db", network.home.root / "hivemark.db")


def _replace_folder(network: Network, name: str) -> None:
    shutil.rmtree(network.home.root / name)
    shutil.move(network.root / "kept", network.home.root / name)


def _write_foreign_log(folder: Path) -> None:
    """A log that is sound in itself, of another name and key."""
    signer = NoteSigner("hivemark.dev/log/home-elsewhere/2026", PrivateKey.generate(os.urandom))
    plan = plan_append(RightEdge(), [b"an entry"])
    tiles = FolderTileStore(folder)
    for file in plan.files:
        tiles.write(file.path, file.content)
    tiles.write(CHECKPOINT_PATH, sign_checkpoint(Checkpoint(signer.name, plan.size, plan.root), signer))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def _refuses(network: Network, code: str) -> bool:
    """The log's refusal is what `ready` names, with what to do."""
    ready = await asyncio.to_thread(ask, f"{network.url}/health/ready")
    if ready.status == 200:
        return False
    assert (ready.status, ready.json["code"]) == (503, "not_ready")
    return f"log: {code}: " in ready.json["detail"] and "restore" in ready.json["detail"]


async def _is_ready(network: Network) -> bool:
    return (await asyncio.to_thread(ask, f"{network.url}/health/ready")).status == 200


async def _shows(network: Network, before: Checkpoint) -> bool:
    """Readers find again what they were shown before."""
    return await _has_checkpoint(network) and await asyncio.to_thread(checkpoint_of, network) == before


async def _has_checkpoint(network: Network) -> bool:
    return (await asyncio.to_thread(ask, f"{network.url}/log/checkpoint")).status == 200


def _query(network: Network, statement: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(f"file:{network.home.root / 'hivemark.db'}?mode=ro", uri=True)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


async def _has_settled(network: Network) -> bool:
    """Every attempt has its place in the log."""
    return _query(network, "SELECT count(*) FROM log_queue") == [(0,)]


def _settled_micro(network: Network) -> object:
    """What the attempts that decided their executions were charged."""
    deciding = "SELECT sum(a.charge_micro) FROM executions e JOIN attempts a ON a.id = e.attempt"
    return _query(network, deciding)[0][0]


def _accepted(network: Network) -> dict[object, int]:
    rows = _query(network, "SELECT execution FROM attempts WHERE outcome = 'accepted'")
    return dict(Counter(execution for (execution,) in rows))
