"""What is left of a hive after signals: no orphan, no lost result, no second agent."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil

from hivemark.hive.config import Worker

MODEL = "hivemark-tiny-a"
OTHER = "hivemark-tiny-b"


async def gone(processes, *, timeout_s=5.0):
    """Whether all of them have ended in time (a zombie has ended)."""

    def alive():
        return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    for _ in range(int(timeout_s / 0.05)):
        if not alive():
            return True
        await asyncio.sleep(0.05)
    return False


def open_files(pid):
    return [entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]


async def two_busy_workers(coordinator, hives):
    hive = await hives.scripted()
    for model in (MODEL, OTHER):
        await coordinator.lease(model, "[[token_delay_s=0.5]][[words=60]]")
    await coordinator.wait(lambda: len(coordinator.started) == 2)
    workers = hive.workers()
    assert len(workers) == 2
    return hive, workers


async def test_no_worker_outlives_a_killed_hive(coordinator, hives):
    hive, workers = await two_busy_workers(coordinator, hives)
    hive.signal(signal.SIGKILL)
    await hive.ended()
    assert await gone(workers)


async def test_a_worker_of_a_killed_hive_ends_while_it_is_still_loading(coordinator, hives):
    hive = await hives.scripted("--load-delay-s", "20")
    await coordinator.lease(MODEL)
    while not (workers := hive.workers()):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    hive.signal(signal.SIGKILL)
    assert await gone(workers)


async def test_every_worker_leads_its_own_group_and_no_sibling_holds_its_pipe(coordinator, hives):
    hive, workers = await two_busy_workers(coordinator, hives)
    assert all(os.getpgid(worker.pid) == worker.pid for worker in workers)
    stdins = [Path(f"/proc/{worker.pid}/fd/0").readlink() for worker in workers]
    sockets_of_hive = {link for link in open_files(hive.pid) if str(link).startswith("socket:")}
    for worker, stdin in zip(workers, stdins, strict=True):
        links = open_files(worker.pid)
        assert links.count(stdin) == 1
        assert not sockets_of_hive & set(links)
        assert not (set(stdins) - {stdin}) & set(links)
    hive.signal(signal.SIGKILL)
    assert await gone(workers)


async def test_sigterm_gives_leases_back_ends_workers_and_exits_with_0(coordinator, hives):
    hive, workers = await two_busy_workers(coordinator, hives)
    hive.signal(signal.SIGTERM)
    assert await hive.ended(timeout_s=5) == 0
    assert await gone(workers, timeout_s=0.5)
    assert {declined.code for declined in coordinator.declined} == {"stopping"}
    assert coordinator.posts == 0


async def test_the_end_of_standard_input_ends_a_watched_hive(coordinator, hives):
    worker = Worker(command=(sys.executable, "-m", "hivemark.testing.engine", "--worker"))
    home = await hives.join(worker=worker)
    hive = await hives.start(home, "--watchdog", stdin=asyncio.subprocess.PIPE)
    await coordinator.wait(lambda: coordinator.offers)
    await coordinator.result(await coordinator.lease(MODEL))
    workers = hive.workers()
    hive.process.stdin.close()
    assert await hive.ended(timeout_s=5) == 0
    assert await gone(workers, timeout_s=0.5)


async def test_one_home_runs_one_hive(coordinator, hives):
    hive = await hives.scripted()
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hivemark.hive", "--home", str(hive.home)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await second.communicate()
    assert second.returncode == 1 and b'"hive_running"' in said


async def test_a_stopped_hive_still_delivers_what_its_worker_finished_meanwhile(coordinator, hives):
    hive = await hives.scripted()
    attempt = await coordinator.lease(
        MODEL, "[[token_delay_s=0.1]]", first_token_timeout_s=1.5, stall_timeout_s=1.5
    )
    await coordinator.wait(lambda: coordinator.started)
    hive.signal(signal.SIGSTOP)
    coordinator.outcome = "late"
    await coordinator.drop_link()
    await asyncio.sleep(4)
    assert coordinator.posts == 0
    hive.signal(signal.SIGCONT)
    receipt = await coordinator.result(attempt)
    assert receipt.outcome == "completed"
    assert coordinator.delivered[attempt].epoch == 2
    await asyncio.sleep(1.0)
    assert coordinator.posts == 1  # answered `late`, and forgotten


async def test_idle_memory_is_under_80_mib(coordinator, hives):
    hive = await hives.scripted()
    await asyncio.sleep(1.0)
    rollup = Path(f"/proc/{hive.pid}/smaps_rollup").read_text()
    (pss_kib,) = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
    print(f"hive agent, idle: {pss_kib / 1024:.1f} MiB PSS")
    assert pss_kib < 80 * 1024
