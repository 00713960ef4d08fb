"""Executions a second through the whole chain: signed job → lease → scripted engine → receipt → log entry.

    python bench/chain.py [--executions 1000] [--hives 2] [--slots 32] [--database sqlite|postgres]

Real processes on this machine: the coordinator, the hives, one scripted engine per hive that answers at once.
Measured from the submission's answer to the last completed execution, and to the last entry under a signed
checkpoint. Beside it, before and after, what the store alone makes of the same transactions and what the
database commits at all (bench/store.py): on a shared machine they all move together.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import store as store_bench

from hivemark.api.headers import sign_request
from hivemark.api.joinlink import parse_join_link
from hivemark.hive.config import Worker
from hivemark.hive.enrol import enrol
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.keyfile import load_private_key
from hivemark.testing.postgres import PostgresServer

ENGINE: Final = (sys.executable, "-m", "hivemark.testing.engine", "--worker", "--script", '{"words":8}')
QUESTIONS: Final = 20
STORE_SECONDS: Final = 2.0


class Network:
    """A coordinator and its hives under one folder."""

    def __init__(self, home: Path, stack: ExitStack, *, database_url: str | None) -> None:
        self._home = home
        self._stack = stack
        self.processes: list[subprocess.Popen[bytes]] = []
        flags = ["--home", str(home / "coordinator"), "--listen", "127.0.0.1:0"]
        database = ["--database-url", database_url] if database_url else []
        self.ready = self._start("hivemark.coordinator", *flags, *database)
        self.key = load_private_key(home / "coordinator" / "keys" / "account.key")

    def _start(self, module: str, *flags: str) -> dict[str, Any]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *flags, "--watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stack.enter_context((self._home / f"{module}.log").open("ab")),
        )
        self._stack.callback(process.wait, 10)
        self._stack.callback(process.terminate)
        self.processes.append(process)
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(process.stdout.readline())
        assert ready["event"] == "ready", ready
        return ready

    def add_hive(self, number: int, *, slots: int) -> None:
        link = self.ask("POST", "/api/v1/hives/join-links", b"{}")["link"]
        home = self._home / f"hive-{number}"
        worker = Worker(command=ENGINE, concurrency=slots)
        enrol(home, parse_join_link(link), name=f"bench-{number}", region="US", slots=slots, worker=worker)
        self._start("hivemark.hive", "--home", str(home))

    def ask(self, method: str, target: str, body: bytes = b"") -> Any:
        parts = urlsplit(self.ready["url"])
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        signed = sign_request(
            self.key, method=method, target=target, body=body, now_ms=_now_ms(), random=os.urandom
        )
        connection.request(method, target, body, {"Authorization": signed})
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        assert answer.status < 300, raw
        return json.loads(raw)

    def submit(self, name: str, executions: int) -> str:
        spec = {
            "id": name,
            "version": "1",
            "benchmark": "chain",
            "questions": [{"id": f"q{n}", "text": f"question {n}"} for n in range(QUESTIONS)],
            "models": ["hivemark-tiny-a"],
            "runs": max(1, executions // QUESTIONS),
            "execution": {"sampling": {"max_tokens": 16}},
        }
        return str(
            self.ask(
                "POST", "/api/v1/jobs", sign_jobspec(spec, self.key, now_ms=_now_ms(), random=os.urandom)
            )["id"]
        )

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far: the coordinator, and the hives with their engines."""
        coordinator, *hives = (psutil.Process(process.pid) for process in self.processes)
        family = [child for hive in hives for child in (hive, *hive.children(recursive=True))]
        return {"coordinator": _cpu_s([coordinator]), "hives and engines": _cpu_s(family)}


def main() -> None:
    flags = _parse()
    _measure_store(flags)
    _measure_chain(flags)
    _measure_store(flags)


def _measure_store(flags: argparse.Namespace) -> None:
    """The limit of this moment: the same transactions without anything around them."""
    with (
        tempfile.TemporaryDirectory(dir=flags.folder) as folder,
        store_bench.database(flags.database, Path(folder)) as store,
        ThreadPoolExecutor(store_bench.THREADS) as pool,
    ):
        bare = store_bench.bare_commits(store, pool, STORE_SECONDS)
        chain = store_bench.chain(store_bench.Bench(store), pool, STORE_SECONDS)
    print(f"{flags.database} alone: {bare:.0f} bare commits/s, {chain.per_s:.0f} executions/s from T1 to T3")


def _measure_chain(flags: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder, ExitStack() as stack:
        url = None
        if flags.database == "postgres":
            server = stack.enter_context(PostgresServer(fsync=True))
            url = server.url("postgres").render_as_string(hide_password=False)
        network = Network(Path(folder), stack, database_url=url)
        for number in range(flags.hives):
            network.add_hive(number, slots=flags.slots)
        _wait(
            lambda: all(
                hive["linked"] and hive["models"] for hive in network.ask("GET", "/api/v1/hives")["hives"]
            )
        )
        _run(network, "warm-up", min(100, flags.executions))
        before = network.cpu_s()
        count, ran_s, logged_s = _run(network, "measured", flags.executions)
        after = network.cpu_s()
    print(f"{count} executions, {flags.hives} hives of {flags.slots} slots, {os.cpu_count()} cores")
    print(f"completed: {ran_s:.2f} s, {count / ran_s:.0f} executions/s")
    print(f"under a signed checkpoint: {logged_s:.2f} s, {count / logged_s:.0f} executions/s")
    for name, seconds in after.items():
        print(f"CPU of {name}: {(seconds - before[name]) * 1000 / count:.2f} ms per execution")


def _run(network: Network, name: str, executions: int) -> tuple[int, float, float]:
    size = network.ask("GET", "/api/v1/transparency/root")["size"]
    job = network.submit(name, executions)
    began = time.perf_counter()
    done = _wait(lambda: (found := network.ask("GET", f"/api/v1/jobs/{job}"))["finished_at"] and found)
    ran_s = time.perf_counter() - began
    cells = int(done["progress"]["completed"])
    assert cells == done["progress"]["cells"], done
    _wait(lambda: network.ask("GET", "/api/v1/transparency/root")["size"] >= size + cells)
    return cells, ran_s, time.perf_counter() - began


def _wait(condition: Callable[[], Any], *, within_s: float = 300) -> Any:
    end = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.1)
    return value


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=1_000)
    parser.add_argument("--hives", type=int, default=2)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--folder", type=Path, help="where to put homes (default: the system's)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
