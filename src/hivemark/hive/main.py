"""Start a hive: `python -m hivemark.hive --home DIR`; the only wiring of this package.

One JSON line on standard output says `ready` or `failed`; logs go to standard error. SIGTERM and SIGINT, and
with `--watchdog` the end of standard input, end it in order: workers ended, results kept.
"""

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

import aiohttp
import msgspec

from hivemark.errors import ConflictError, HivemarkError
from hivemark.hive.agent import Agent
from hivemark.hive.authority import context_of
from hivemark.hive.catalog import CACHE_NAME, DigestCache, build_catalog
from hivemark.hive.clock import SystemClock
from hivemark.hive.config import KEY_NAME, HiveConfig, load_config
from hivemark.hive.core import HiveIdentity
from hivemark.hive.engines.openai import LINE_BYTES_MAX
from hivemark.hive.logs import configure_logs
from hivemark.hive.outbox import open_outbox
from hivemark.hive.outbox_writer import OutboxWriter
from hivemark.hive.pulled import PulledModels
from hivemark.hive.stable import EngineStable
from hivemark.protocol.keyfile import load_private_key

OUTBOX_NAME: Final = "outbox.sqlite"
LOCK_NAME: Final = "hive.lock"

_log: Final = logging.getLogger(__name__)


def main() -> None:
    """Exit status 0 after an orderly end, 1 otherwise."""
    flags = _parse_flags()
    os.umask(0o077)  # the outbox holds texts of users
    try:
        config = load_config(flags.home.resolve())
        configure_logs(config.hive.log_level)
        with _only_one(config.home):
            asyncio.run(
                _run(config, models=flags.models, watchdog=flags.watchdog, health_port=flags.health_port)
            )
    except HivemarkError as error:
        _log.critical("failed", extra={"code": error.code, "reason": str(error)})
        _say({"event": "failed", "code": error.code, "message": str(error), "hint": error.hint})
        sys.exit(1)


async def _run(config: HiveConfig, *, models: Path | None, watchdog: bool, health_port: int | None) -> None:
    async with _agent(config, models=models) as (agent, identity):
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.stop)
        if watchdog:
            _watch_stdin(loop, agent)
        ready: dict[str, object] = {"event": "ready", "hive": identity.id, "pid": os.getpid()}
        async with contextlib.AsyncExitStack() as stack:
            port = config.hive.health_port if health_port is None else health_port
            if port is not None:
                from hivemark.hive.health import serve_health  # a web server only where it is asked for

                runner, ready["health_port"] = await serve_health(agent, port)
                stack.push_async_callback(runner.cleanup)
            _say(ready)
            await agent.run()


@contextlib.asynccontextmanager
async def _agent(config: HiveConfig, *, models: Path | None) -> AsyncIterator[tuple[Agent, HiveIdentity]]:
    clock = SystemClock()
    key = load_private_key(config.home / KEY_NAME)
    software = version("hivemark")
    catalog = await asyncio.to_thread(
        build_catalog, config.home, config.models, with_shipped=config.hive.shipped_models
    )
    pulled = None
    if models is not None:
        pulled = PulledModels(models, fixed=catalog, cache=DigestCache(config.home / CACHE_NAME))
        found = await asyncio.to_thread(pulled.look)
        catalog = catalog if found is None else found
    outbox = open_outbox(config.home / OUTBOX_NAME)
    identity = HiveIdentity(
        key=key,
        network=config.coordinator.network,
        service_key=config.service_key,
        software=f"hivemark/{software}",
    )
    trust = context_of(config.home)
    async with _session(trust) as http, _session(None) as engines:
        stable = EngineStable(config, catalog, http=engines, clock=clock, version=software)
        yield (
            Agent(
                config,
                identity,
                stable,
                OutboxWriter(outbox),
                http=http,
                clock=clock,
                waiting=outbox.waiting(),
                pulled=pulled,
            ),
            identity,
        )


def _session(trust: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """The coordinator and the engines each have one: the authority pinned for the first knows no others."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),  # attempts have deadlines of their own
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=trust or True),
        read_bufsize=LINE_BYTES_MAX // 2,  # aiohttp refuses lines of twice this
        headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[IO[str]]:
    """Two agents with one key would take the link from each other for ever."""
    with (home / LOCK_NAME).open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"a hive is running in {home} already"
            raise ConflictError(message, code="hive_running", hint="hivemark status") from error
        yield file


def _watch_stdin(loop: asyncio.AbstractEventLoop, agent: Agent) -> None:
    def wait_for_end() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(agent.stop)

    threading.Thread(target=wait_for_end, name="parent-watchdog", daemon=True).start()


def _say(event: dict[str, object]) -> None:
    """To whoever started this process, who may have stopped listening after `ready`."""
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), msgspec.json.encode(event) + b"\n")


def _parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hivemark.hive", description="Run the hive in a folder.")
    parser.add_argument("--home", type=Path, required=True, help="folder that `hivemark join` made")
    parser.add_argument(
        "--watchdog", "--watch-stdin", action="store_true", help="end when standard input ends"
    )
    parser.add_argument("--models", type=Path, help="folder of pulled models; watched while the hive runs")
    parser.add_argument("--health-port", type=int, help="serve /health and /metrics here (0: any port)")
    return parser.parse_args()
