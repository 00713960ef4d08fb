"""Whole networks whose programs are killed, stopped and continued: real processes, a scripted engine."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hivemark.api.joinlink import parse_join_link
from hivemark.cli.evidence import save_bundles, verify_saved
from hivemark.cli.home import Home
from hivemark.cli.programs import Child, Program, start_child
from hivemark.client.benchmarks import Benchmark, build_spec
from hivemark.client.sdk import HivemarkClient, JobEvent
from hivemark.client.views import Job
from hivemark.coordinator.store import open_store
from hivemark.coordinator.store.fsck import check_database
from hivemark.hive.config import Worker
from hivemark.hive.enrol import enrol
from hivemark.protocol.acceptance import Acceptance, parse_acceptance
from hivemark.protocol.entry import AttemptEntry, parse_entry
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.keyfile import load_private_key
from hivemark.translog.policy import parse_policy

LEASE_TTL_S = 3.0
HEARTBEAT_S = 0.5
QUICK = {"HIVEMARK_LEASE_TTL_S": str(LEASE_TTL_S), "HIVEMARK_HEARTBEAT_S": str(HEARTBEAT_S)}


@dataclass
class Network:
    """A coordinator and hives as children of the test."""

    root: Path
    coordinator: Child | None = None
    hives: dict[str, Child] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    engines: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def home(self) -> Home:
        return Home(self.root / "home")

    @property
    def url(self) -> str:
        assert self.coordinator is not None
        return str(self.coordinator.ready["url"])

    def client(self) -> HivemarkClient:
        return HivemarkClient(self.url, account_key=load_private_key(self.home.account_key))

    def start_coordinator(self) -> None:
        """On a port that the system chooses; after a kill on the same port again."""
        listen = "127.0.0.1:0" if self.coordinator is None else self.url.removeprefix("http://")
        self.home.ensure_folders()
        program = Program("coordinator", "hivemark.coordinator", self.home.root, ("--listen", listen))
        log = self.home.logs / "coordinator.log"
        self.coordinator = start_child(program, log=log, environment={**os.environ, **QUICK})

    async def add_hive(
        self, name: str, *, slots: int = 2, script: dict[str, Any], count: Path | None = None
    ) -> None:
        """Join a hive in region EU whose workers follow the script, and wait until it is linked."""
        async with self.client() as client:
            link = (await client.join_link()).link
            home = self.root / name
            command = (
                sys.executable,
                "-m",
                "hivemark.testing.engine",
                "--worker",
                "--script",
                json.dumps(script),
                *(("--count-file", str(count)) if count else ()),
            )
            worker = Worker(command=command, concurrency=8)
            options = {"name": name, "region": "EU", "slots": slots, "worker": worker}
            enrolled = await asyncio.to_thread(enrol, home, parse_join_link(link), **options)
            self.ids[name] = enrolled.hive
            program = Program(name, "hivemark.hive", home)
            self.hives[name] = await asyncio.to_thread(
                start_child, program, log=self.home.logs / f"{name}.log"
            )
            await until(lambda: self._is_linked(client, enrolled.hive))

    async def add_real_hive(self, name: str, *, tail: str = "", **worker: Any) -> None:
        """Join a hive that serves the shipped models by real engines; `tail` is added to its hive.toml."""
        async with self.client() as client:
            link = (await client.join_link()).link
            home = self.root / name
            options = {"name": name, "slots": 4, "worker": Worker(concurrency=4, **worker)}
            enrolled = await asyncio.to_thread(enrol, home, parse_join_link(link), **options)
            with (home / "hive.toml").open("a") as file:
                file.write(tail)
            self.ids[name] = enrolled.hive
            program = Program(name, "hivemark.hive", home)
            log = self.home.logs / f"{name}.log"
            self.hives[name] = await asyncio.to_thread(start_child, program, log=log)
            await until(lambda: self._is_linked(client, enrolled.hive))

    async def attach(self, name: str, *, script: dict[str, Any]) -> None:
        """Join a hive with one attached server, which serves the model `scripted` and tells no digest."""
        command = [sys.executable, "-m", "hivemark.testing.engine", "--script", json.dumps(script)]
        engine = await asyncio.to_thread(
            subprocess.Popen, [*command, "--model", "scripted"], stdout=subprocess.PIPE
        )
        self.engines.append(engine)
        assert engine.stdout is not None
        port = json.loads(await asyncio.to_thread(engine.stdout.readline))["port"]
        async with self.client() as client:
            link = (await client.join_link()).link
            home = self.root / name
            enrolled = await asyncio.to_thread(enrol, home, parse_join_link(link), name=name, slots=8)
            table = f'[[engines]]\nname = "attached"\nurl = "http://127.0.0.1:{port}/v1"\n'
            with (home / "hive.toml").open("a") as file:
                file.write(f"\n{table}")
            self.ids[name] = enrolled.hive
            program = Program(name, "hivemark.hive", home)
            log = self.home.logs / f"{name}.log"
            self.hives[name] = await asyncio.to_thread(start_child, program, log=log)
            await until(lambda: self._is_linked(client, enrolled.hive))

    async def _is_linked(self, client: HivemarkClient, hive: str) -> bool:
        return any(each.id == hive and each.linked and each.models for each in await client.hives())

    async def submit(self, client: HivemarkClient, *, questions: int, repeats: int = 1) -> str:
        """A benchmark of so many questions on the first shipped model; answers its job id."""
        benchmark = Benchmark(
            id=f"faults-{time.time_ns()}",
            name="faults",
            questions=[{"id": f"q{number}", "text": f"Question {number}?"} for number in range(questions)],
            models=("hivemark-tiny-a",),
            repeats=repeats,
            visibility="public",
            min_success_rate=1.0,
        )
        key = load_private_key(self.home.account_key)
        spec = sign_jobspec(build_spec(benchmark), key, now_ms=time.time_ns() // 1_000_000, random=os.urandom)
        return (await client.submit(spec)).id

    async def require_sound(self, client: HivemarkClient, job: Job) -> None:
        """What holds after any fault: one history of events, receipts that verify, books that agree."""
        events = [event async for event in client.events(job.id)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        completed = [event.body.execution for event in events if event.name == "execution_completed"]
        assert sorted(map(str, completed)) == sorted(each.id for each in job.executions)
        folder = self.root / "receipts"
        paths = await save_bundles(client, job, folder, wait_s=20.0)
        policy = parse_policy(self.home.policy.read_bytes())
        verified = verify_saved(paths, policy, folder=folder)
        assert (verified.count, verified.refused) == (len(job.executions), ())
        assert self.problems() == []

    def problems(self) -> list[str]:
        """What `hivemark fsck` finds."""
        network = json.loads((self.home.root / "network.json").read_bytes())["network"]
        store = open_store(f"sqlite:///{self.home.root / 'hivemark.db'}", network=network, create=False)
        try:
            return check_database(store)
        finally:
            store.close()

    def acceptances(self) -> list[Acceptance]:
        """Every acceptance in the log queue and the log, in the order in which they were written."""
        database = sqlite3.connect(f"file:{self.home.root / 'hivemark.db'}?mode=ro", uri=True)
        try:
            rows = database.execute("SELECT coalesce(entry, leaf) FROM log_rows ORDER BY rowid").fetchall()
        finally:
            database.close()
        entries = [parse_entry(bytes(row[0])) for row in rows]
        attempts = [entry for entry in entries if isinstance(entry, AttemptEntry)]
        return [parse_acceptance(entry.acceptance.payload) for entry in attempts]

    def earned_micro(self, name: str) -> int:
        """What a hive has been paid, pending or released."""
        hive = self.ids[name]
        database = sqlite3.connect(f"file:{self.home.root / 'hivemark.db'}?mode=ro", uri=True)
        try:
            accounts = (f"hive:{hive}", f"pending:{hive}")
            (earned,) = database.execute(
                "SELECT coalesce(sum(balance_micro), 0) FROM accounts WHERE id IN (?, ?)", accounts
            ).fetchone()
        finally:
            database.close()
        return int(earned)

    def stop(self) -> None:
        for child in (*self.hives.values(), self.coordinator):
            if child is not None:
                child.stop()
        for engine in self.engines:
            engine.terminate()
            engine.wait(10)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    running = Network(tmp_path)
    running.start_coordinator()
    yield running
    running.stop()


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 30.0) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        await asyncio.sleep(0.05)


async def follow(client: HivemarkClient, job: str) -> AsyncIterator[JobEvent]:
    """The events of a job, within the time that a test has."""
    async with asyncio.timeout(90):
        async for event in client.events(job):
            yield event


def descendants(child: Child) -> list[psutil.Process]:
    """Every process below a child, so that one can see what becomes of them after it."""
    return psutil.Process(child.process.pid).children(recursive=True)
