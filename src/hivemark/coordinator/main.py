"""The only wiring: settings, home, store, services, shells and loops into one process.

On stdout stands one JSON line when the process is ready (or has failed to start); logs go to stderr.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
import uvloop

from hivemark.api.link import FRAME_BYTES_MAX
from hivemark.coordinator.authority import (
    Certificates,
    addresses,
    ensure_certificates,
    is_wildcard,
    now_utc,
)
from hivemark.coordinator.bootstrap import (
    FirstStart,
    Home,
    close_stale_sessions,
    lock_home,
    open_home,
    trust_first_keys,
    write_durably,
)
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.config import Settings, load_settings
from hivemark.coordinator.context import Context, PublicAddress
from hivemark.coordinator.gateway.calls import build_call_routes
from hivemark.coordinator.gateway.pipes import Pipes
from hivemark.coordinator.gateway.routes import build_link_routes
from hivemark.coordinator.http.app import Front
from hivemark.coordinator.logs import configure_logs
from hivemark.coordinator.loops.runner import Loop, LoopRunner
from hivemark.coordinator.loops.sequencer import Sequencer
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.pool import Pool
from hivemark.coordinator.ports import Store, TileStore
from hivemark.coordinator.service.assembly import Rules, Services, build_services
from hivemark.coordinator.service.calls import CallRules
from hivemark.coordinator.service.health import Health
from hivemark.coordinator.service.hints import LOG, Hints
from hivemark.coordinator.service.lease import LeaseRules
from hivemark.coordinator.service.submit import IntakeRules
from hivemark.coordinator.store import open_store
from hivemark.coordinator.store.blobs import FolderBlobStore
from hivemark.coordinator.store.database import DatabaseUnavailable
from hivemark.coordinator.store.tiles import FolderTileStore
from hivemark.coordinator.wakeups import Wakeups
from hivemark.credits.price import MICRO_PER_CREDIT, Price
from hivemark.errors import HivemarkError, UnavailableError
from hivemark.jobs.questions import load_question_sets
from hivemark.translog.note import NoteSigner

READY_FILE: Final = "run/coordinator.json"
STOP_WITHIN_S: Final = 4
SEQUENCER_REST_S: Final = 0.1
SEQUENCER_LEASE_MS: Final = 2_000
_BACKLOG: Final = 2_048
_SWITCH_INTERVAL_S: Final = 0.0005
_log = structlog.get_logger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop; the exit status. A start that fails says why on stdout."""
    flags = _parse(arguments)
    os.umask(0o077)  # database and blobs hold texts of users, and the home may be open to others
    try:
        settings = load_settings(
            flags.home,
            flags={
                "listen": flags.listen,
                "listen_tls": flags.listen_tls,
                "database_url": flags.database_url,
                "log_level": flags.log_level,
            },
        )
        configure_logs(settings.log_level)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, watchdog=flags.watchdog))
    except HivemarkError as error:
        _say({"event": "failed", "code": error.code, "message": str(error), "hint": error.hint})
        return 1
    return 0


async def _serve(settings: Settings, *, watchdog: bool) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock_home(settings.home))
        # Listening first: a start that fails for its port has not made the secrets that are shown once.
        listener = stack.enter_context(_listen(settings.address, settings.listen))
        others = None
        if settings.tls_address is not None:
            others = stack.enter_context(_listen(settings.tls_address, settings.listen_tls))
        home = open_home(settings, now_ms=now_ms(), random=os.urandom)
        await _serve_home(settings, home, Doors(listener, others), watchdog)


@dataclass(frozen=True, slots=True)
class Doors:
    """The listeners: for this machine, and for others by TLS."""

    local: socket.socket
    others: socket.socket | None


async def _serve_home(settings: Settings, home: Home, doors: Doors, watchdog: bool) -> None:
    started_ms = now_ms()
    store = open_store(settings.database, network=home.identity.network)
    wakeups = Wakeups(asyncio.get_running_loop())
    pool = Pool()
    try:
        trust_first_keys(home, store, settings, now_ms=started_ms)
        close_stale_sessions(store, now_ms=started_ms)
        tiles = FolderTileStore(settings.home / "log")
        certificates = _certificates(settings, doors)
        services = _services(settings, home, store, tiles, wakeups)
        context = Context(
            services=services,
            pool=pool,
            wakeups=wakeups,
            stopping=asyncio.Event(),
            tls=settings.tls_certificate is not None,
            public=None if certificates is None else _public(settings, doors, certificates),
        )
        _stop_on_signals(context, watchdog=watchdog)
        await _run(settings, home, context, doors, certificates, _loops(services, store, tiles))
    finally:
        pool.close()
        store.close()


def _certificates(settings: Settings, doors: Doors) -> Certificates | None:
    if doors.others is None or settings.tls_address is None:
        return None
    made = ensure_certificates(settings.home, settings.tls_address[0], settings.tls_names, now=now_utc())
    event = "certificate_made" if made.renewed else "certificate_stands"
    _log.info(event, expires=made.expires.date().isoformat())
    return made


def _public(settings: Settings, doors: Doors, certificates: Certificates) -> PublicAddress:
    """A listener on every address is reached by the first of them that others may use."""
    assert doors.others is not None and settings.tls_address is not None
    host, port = settings.tls_address[0], doors.others.getsockname()[1]
    if is_wildcard(host):
        host = (*settings.tls_names, *addresses(), "127.0.0.1")[0]
    return PublicAddress(
        host=host,
        port=port,
        authority_sha256=certificates.authority_sha256,
        authority_pem=certificates.authority.read_bytes(),
    )


async def _run(
    settings: Settings,
    home: Home,
    context: Context,
    doors: Doors,
    certificates: Certificates | None,
    loops: list[Loop],
) -> None:
    pipes = Pipes()
    gateway = [*build_link_routes(context, pipes, random=os.urandom), *build_call_routes(context, pipes)]
    app = Front(context, gateway, random=os.urandom)
    server = _Server(_http(app, certificate=settings.tls_certificate, key=settings.tls_key))
    servers = [server]
    if certificates is not None:
        servers.append(_Server(_http(app, certificate=certificates.certificate, key=certificates.key)))
    async with asyncio.TaskGroup() as tasks:
        for loop in loops:
            runner = LoopRunner(
                loop,
                pool=context.pool,
                wakeups=context.wakeups,
                metrics=context.services.metrics,
                stopping=context.stopping,
            )
            tasks.create_task(runner.run(), name=loop.name)
        tasks.create_task(pipes.keep_ticking(context.stopping), name="calls")
        serving = tasks.create_task(server.serve([doors.local]), name="http")
        if doors.others is not None:
            tasks.create_task(servers[-1].serve([doors.others]), name="https")
        tasks.create_task(_stop_servers(servers, context), name="stop")
        await _announce_when_ready(servers, serving, home, context, doors.local)
    (home.path / READY_FILE).unlink(missing_ok=True)


def _http(app: Front, *, certificate: Path | None, key: Path | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws_ping_interval=None,  # the link has heartbeats of its own
        ws_max_size=FRAME_BYTES_MAX,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to `_stop_on_signals`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the whole process in order, not the HTTP server alone."""
        yield


async def _stop_servers(servers: Sequence[uvicorn.Server], context: Context) -> None:
    await context.stopping.wait()
    context.wakeups.wake_all()
    for server in servers:
        server.should_exit = True


async def _announce_when_ready(
    servers: Sequence[uvicorn.Server],
    serving: asyncio.Task[None],
    home: Home,
    context: Context,
    listener: socket.socket,
) -> None:
    while not all(server.started for server in servers) and not serving.done():
        await asyncio.sleep(0.005)
    if serving.done():
        context.stopping.set()
        return
    host, port = listener.getsockname()[:2]
    scheme = "https" if context.tls else "http"
    name = f"[{host}]" if ":" in host else host
    ready = {
        "event": "ready",
        "url": f"{scheme}://{name}:{port}",
        "network": home.identity.network,
        "pid": os.getpid(),
    }
    if context.public is not None:
        name = f"[{context.public.host}]" if ":" in context.public.host else context.public.host
        ready["public_url"] = f"https://{name}:{context.public.port}"
    (home.path / "run").mkdir(mode=0o700, exist_ok=True)
    write_durably(home.path / READY_FILE, json.dumps(ready).encode() + b"\n")
    _log.info("ready", url=ready["url"], network=ready["network"])
    _say(ready | {"first_start": _first_start(home.first_start)})


def _first_start(first: FirstStart | None) -> dict[str, str] | None:
    if first is None:
        return None
    return {
        "admin_token": first.admin_token,
        "account": first.account,
        "account_key": str(first.account_key),
        "policy": str(first.policy),
        "policy_fingerprint": first.policy_fingerprint,
    }


def _services(settings: Settings, home: Home, store: Store, tiles: TileStore, hints: Hints) -> Services:
    price = Price()
    return build_services(
        store=store,
        blobs=FolderBlobStore(settings.home / "blobs"),
        tiles=tiles,
        identity=home.identity,
        rules=Rules(
            intake=IntakeRules(
                regions=settings.regions,
                default_visibility=settings.default_visibility,
                age_max_s=settings.spec_age_max_s,
                skew_max_s=settings.spec_skew_max_s,
                price=price,
            ),
            lease=LeaseRules(
                lease_ttl_s=settings.lease_ttl_s,
                heartbeat_s=settings.heartbeat_s,
                first_token_timeout_s=settings.first_token_timeout_s,
                stall_timeout_s=settings.stall_timeout_s,
            ),
            calls=CallRules(
                queue_timeout_s=settings.call_queue_timeout_s, total_timeout_s=settings.call_timeout_s
            ),
            grant_micro=settings.grant_credits * MICRO_PER_CREDIT,
        ),
        questions=load_question_sets(),
        random=os.urandom,
        hints=hints,
        metrics=Metrics(),
        run=f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}",
        tokens_sha256=home.tokens_sha256,
    )


def _loops(services: Services, store: Store, tiles: TileStore) -> list[Loop]:
    identity = services.identity
    sequencer = Sequencer(
        store,
        tiles,
        NoteSigner(identity.origin, identity.log_key),
        holder=f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}",
        lease_ms=SEQUENCER_LEASE_MS,
    )
    return [
        Loop("reaper", services.reaper.step, interval_s=1.0),
        Loop("deadlines", services.deadlines.step, interval_s=1.0),
        Loop("orphans", services.calls.end_orphans, interval_s=1.0),
        Loop(
            "sequencer",
            sequencer.step,
            interval_s=1.0,
            topics=(LOG,),
            rest_s=SEQUENCER_REST_S,
            report=partial(_note_sequencer, services.health),
        ),
    ]


def _note_sequencer(health: Health, failure: Exception | None) -> None:
    """Its lead is renewed in the database every second, so it also tells whether that takes writes."""
    is_of_database = isinstance(failure, DatabaseUnavailable)
    health.note("database", failure if is_of_database else None)
    health.note("log", None if is_of_database else failure)


def _listen(address: tuple[str, int], name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # The third argument matters: asyncio turns Nagle's delay off only on sockets that say TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UnavailableError(
            f"cannot listen on {name}: {error.strerror}",
            code="address_unavailable",
            hint="is another coordinator running? choose another address with --listen",
        ) from error
    return listener


def _stop_on_signals(context: Context, *, watchdog: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, context.stopping.set)
    if watchdog:
        loop.add_reader(sys.stdin.fileno(), _read_stdin, context)


def _read_stdin(context: Context) -> None:
    """The parent holds the other end: its end is ours."""
    if os.read(sys.stdin.fileno(), 4096) == b"":
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        context.stopping.set()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hivemark.coordinator", description="The coordinator of a network.")
    parser.add_argument("--home", type=Path, required=True, help="folder of keys, database, log and texts")
    parser.add_argument("--listen", help="HOST:PORT (default 127.0.0.1:8090; port 0: the system chooses)")
    parser.add_argument("--listen-tls", help="HOST:PORT for other machines, by TLS (default: none)")
    parser.add_argument(
        "--database-url", help="sqlite:///PATH or postgresql://… (default: a file in the home)"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    parser.add_argument(
        "--watchdog", "--watch-stdin", action="store_true", help="stop when stdin ends, as on SIGTERM"
    )
    return parser.parse_args(arguments)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
