"""How many durable transactions a second the store makes, beside what the same database can commit at all.

    python bench/store.py [--seconds 4] [--database sqlite|postgres|both]

Everything is synced: SQLite with `synchronous=FULL` on the given folder's disk, PostgreSQL with fsync on.
T2 is leased in batches for one hive; `chain` is T1, T2, start and T3 for every execution, from four threads
as the coordinator's pool runs them. `bare commits` insert one row each from the same four threads.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from sqlalchemy import text

from hivemark.coordinator.ports import (
    AttemptRow,
    HiveModel,
    HiveRow,
    NewExecution,
    NewJob,
    NewLease,
    NewLogEntry,
    Result,
    TrustedKey,
)
from hivemark.coordinator.store import SqlStore, open_store
from hivemark.jobs.lifecycle import ExecutionEvent
from hivemark.testing.postgres import PostgresServer

THREADS = 4
CELLS_PER_JOB = 96
LEASE_BATCH = 8
DIGEST = "d" * 64
HIVE = "hive_bench"
FAR_MS = 1 << 45
RECEIPT = os.urandom(2_500)
ENTRY = os.urandom(4_500)


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    per_s: float


class Bench:
    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self._numbers = itertools.count()
        store.trust(TrustedKey("key", "acct_bench", "k", "active", 1), grant_micro=10**15)
        store.add_join_token("token", owner="acct_bench", until_ms=FAR_MS)
        model = HiveModel("tiny", DIGEST, "reference", "q8_0", 512, 1, True)
        hive = HiveRow(
            HIVE, "hk", "h", "", "EU", "active", False, 1, 0, None, False, None, 8, (), (), (model,), None
        )
        store.enrol(hive, token_sha256="token", now_ms=1, log=NewLogEntry("enrol", b"e", b"e", None, None))
        self.epoch = store.open_session(HIVE, session_sha256="s", address=None, now_ms=1)

    def submit(self) -> int:
        number = next(self._numbers)
        cells = tuple(
            NewExecution(
                f"exe_{number:08}_{i:04}", i, 0, 0, 0, 0, 0, 0, "tiny", DIGEST, None, hold_micro=1_000
            )
            for i in range(CELLS_PER_JOB)
        )
        job = NewJob(
            id=f"job_{number:08}",
            account="acct_bench",
            signer="key",
            spec_id=f"spec-{number}",
            spec_raw=b"{}" * 500,
            spec_message=b"{}" * 500,
            spec_sha256=f"{number:064x}",
            nonce=f"nonce-{number}",
            nonce_until_ms=FAR_MS,
            idempotency_key=None,
            body_sha256=f"{number:064x}",
            benchmark="bench",
            visibility="public",
            min_success_rate=0.5,
            min_regions=1,
            created_ms=number,
            deadline_ms=FAR_MS,
            requester="pseudonym",
            executions=cells,
        )
        self.store.submit(job)
        return 1

    def lease(self) -> list[AttemptRow]:
        offers = self.store.candidates(HIVE, now_ms=1 << 40, limit=LEASE_BATCH)
        leases = [
            NewLease(
                f"att_{next(self._numbers):08}",
                offer.execution.id,
                offer.execution.version,
                HIVE,
                self.epoch,
                FAR_MS,
                DIGEST,
            )
            for offer in offers
        ]
        return list(self.store.lease(leases, now_ms=1))

    def start(self, attempt: AttemptRow) -> None:
        assert self.store.start(attempt.id, lease_version=attempt.lease_version, now_ms=2)

    def finish(self, attempt: AttemptRow) -> None:
        self.store.record_result(
            Result(
                attempt=attempt.id,
                lease_version=attempt.lease_version,
                event=ExecutionEvent.SUCCEEDED,
                now_ms=3,
                receipt=RECEIPT,
                receipt_sha256=DIGEST,
                disclosure=DIGEST,
                prompt_tokens=10,
                completion_tokens=50,
                charge_micro=600,
                failure=None,
                not_before_ms=3,
                log=NewLogEntry(attempt.id, ENTRY, ENTRY, None, attempt.id),
                log_event_body='{"state":"completed","execution":"exe","hive":"hive"}',
            )
        )


_BARE_TABLE: Final = text("CREATE TABLE IF NOT EXISTS bare (n BIGINT)")
_BARE: Final = text("INSERT INTO bare VALUES (1)")


def bare_commits(store: SqlStore, pool: ThreadPoolExecutor, seconds: float) -> float:
    """One row per transaction from as many threads: what this database commits at all, at this moment."""
    store.database.write(lambda connection: connection.execute(_BARE_TABLE).rowcount)
    until = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            store.database.write(lambda connection: connection.execute(_BARE).rowcount)
            done += 1
        return done

    return sum(pool.map(work, range(THREADS))) / seconds


def run(store: SqlStore, pool: ThreadPoolExecutor, seconds: float) -> Iterator[Figure]:
    bench = Bench(store)
    yield _rate(f"T1 jobs of {CELLS_PER_JOB} cells", seconds, bench.submit)
    leased: list[AttemptRow] = []
    yield _rate(f"T2 executions in batches of {LEASE_BATCH}", seconds, lambda: _extend(leased, bench.lease()))
    yield _all("starts", pool, bench.start, leased[: len(leased) // 2])
    yield _all("T3 results", pool, bench.finish, leased)
    yield chain(bench, pool, seconds)


def _all(
    name: str, pool: ThreadPoolExecutor, step: Callable[[AttemptRow], None], attempts: list[AttemptRow]
) -> Figure:
    begin = time.perf_counter()
    list(pool.map(step, attempts))
    return Figure(f"{name}, four threads", len(attempts) / (time.perf_counter() - begin))


def chain(bench: Bench, pool: ThreadPoolExecutor, seconds: float) -> Figure:
    """Whole executions: each thread leases a batch, starts it, finishes it; jobs are submitted as needed."""
    until = time.perf_counter() + seconds
    placing = Lock()  # hives ask in turn; two that are offered the same cells would only race

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            with placing:
                attempts = bench.lease() or (bench.submit() and bench.lease())
            for attempt in attempts:
                bench.start(attempt)
                bench.finish(attempt)
                done += 1
        return done

    begin = time.perf_counter()
    done = sum(pool.map(work, range(THREADS)))
    return Figure("chain: executions from T1 to T3", done / (time.perf_counter() - begin))


def _rate(name: str, seconds: float, step: Callable[[], int]) -> Figure:
    begin = time.perf_counter()
    done = 0
    while (spent := time.perf_counter() - begin) < seconds:
        done += step()
    return Figure(name, done / spent)


def _extend(into: list[AttemptRow], attempts: list[AttemptRow]) -> int:
    into.extend(attempts)
    return len(attempts)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[SqlStore]:
    if kind == "sqlite":
        store = open_store(f"sqlite:///{folder / 'bench.db'}")
        yield store
        store.close()
        return
    with PostgresServer(fsync=True) as server:
        store = open_store(server.url("postgres").render_as_string(hide_password=False))
        yield store
        store.close()


def report(kind: str, store: SqlStore, seconds: float) -> None:
    """Each figure beside the bare rate of the same moment: on a shared disk the two move together."""
    print(f"{kind:36} {'measured':>12} {'bare commits':>14} {'ratio':>7}")
    with ThreadPoolExecutor(THREADS) as pool:
        before = bare_commits(store, pool, seconds / 4)
        for figure in run(store, pool, seconds):
            after = bare_commits(store, pool, seconds / 4)
            limit, before = (before + after) / 2, after
            row = f"  {figure.name:34} {figure.per_s:10,.0f}/s {limit:12,.0f}/s {figure.per_s / limit:7.2f}"
            print(row, flush=True)


def main() -> None:
    sys.setswitchinterval(0.0005)  # as the coordinator does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    kinds = ["sqlite", "postgres"] if arguments.database == "both" else [arguments.database]
    for kind in kinds:
        with (
            tempfile.TemporaryDirectory(dir=arguments.folder) as folder,
            database(kind, Path(folder)) as store,
        ):
            report(kind, store, arguments.seconds)


if __name__ == "__main__":
    main()
