"""A coordinator that is only its end of the link: real handshake, real frames, results kept in memory."""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from aiohttp import WSMsgType, web

from hivemark.api.handshake import Transcript, verify_enrol
from hivemark.api.joinlink import JoinLink
from hivemark.api.link import (
    ENROL_PATH,
    LINK_PATH,
    PROTOCOL_VERSION,
    RESULT_PATH,
    Cancel,
    Challenge,
    CoordinatorFrame,
    Declined,
    Enrol,
    Enrolled,
    Heartbeat,
    Hello,
    HiveFrame,
    Lease,
    Offer,
    Proof,
    Reconcile,
    ResultAnswer,
    ResultFrame,
    Started,
    Verdicts,
    Welcome,
)
from hivemark.fleet.channel import Channel, Delivery
from hivemark.hive.config import Worker
from hivemark.hive.enrol import enrol
from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import verify_commitment
from hivemark.protocol.grant import Grant, GrantedModel, sign_grant
from hivemark.protocol.ids import hive_id, new_id
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.receipt import Receipt, verify_receipt
from hivemark.protocol.shape import from_shape
from hivemark.protocol.times import format_ms

NETWORK = "home-test"
SCRIPTED = (sys.executable, "-m", "hivemark.testing.engine", "--worker")


@dataclass
class Delivered:
    """One accepted POST of a result."""

    frame: ResultFrame
    receipt: Receipt
    epoch: int


@dataclass
class FakeCoordinator:
    """Every fact it learns is appended to a list; `changed` wakes whoever waits for one."""

    key: PrivateKey
    port: int = 0
    epoch: int = 0
    heartbeat_s: float = 0.3
    hive_key: PublicKey | None = None
    offers: list[Offer] = field(default_factory=list)
    reconciled: list[Reconcile] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)
    heartbeats: int = 0
    posts: int = 0
    delivered: dict[str, Delivered] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)
    answers: list[int] = field(default_factory=list)  # statuses for the next posts; empty: accept
    outcome: str = "accepted"
    linked: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner = field(init=False, repr=False)
    _socket: web.WebSocketResponse | None = None
    _channel: Channel | None = None
    _token: str = ""

    async def start(self) -> None:
        """Listen, on the old port when there was one."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.add_routes(
            [
                web.post(ENROL_PATH, self.enrol),
                web.get(LINK_PATH, self.link),
                web.post(RESULT_PATH, self.accept),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Drop every connection and listen no more."""
        if self._socket is not None:
            await self._socket.close()
        await self._runner.cleanup()

    def join_link(self, *, key: PublicKey | None = None) -> JoinLink:
        digest = hashlib.sha256((key or self.key.public).raw).digest()
        return JoinLink("127.0.0.1", self.port, "t" * 32, digest, NETWORK)

    async def wait(self, condition: Callable[[], Any], *, timeout_s: float = 20.0) -> Any:
        """The first true value of `condition`."""
        async with asyncio.timeout(timeout_s):
            while not (value := condition()):
                self.changed.clear()
                await self.changed.wait()
        return value

    async def result(self, attempt: str, *, timeout_s: float = 20.0) -> Receipt:
        found = await self.wait(lambda: self.delivered.get(attempt), timeout_s=timeout_s)
        return found.receipt

    async def drop_link(self) -> None:
        assert self._socket is not None
        await self._socket.close()

    async def lease(self, model: str | None, prompt: str = "hello", **changes: Any) -> str:
        """Lease one attempt; `changes` are members of `Lease`, or `max_tokens`."""
        lease = self.make_lease(model, prompt, **changes)
        self.leases[lease.attempt] = lease
        await self.send(lease)
        return lease.attempt

    async def cancel(self, attempt: str) -> None:
        await self.send(Cancel(attempt=attempt))

    async def send(self, body: Any) -> None:
        assert self._socket is not None and self._channel is not None
        seq, ack = self._channel.send()
        frame = CoordinatorFrame(epoch=self.epoch, seq=seq, ack=ack, body=body)
        await self._socket.send_str(msgspec.json.encode(frame).decode())

    def make_lease(
        self,
        model: str | None,
        prompt: str,
        *,
        max_tokens: int = 64,
        grant_changes: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Lease:
        assert self.hive_key is not None
        now_ms = time.time_ns() // 1_000_000
        ids = {kind: new_id(kind, now_ms=now_ms, random=os.urandom) for kind in ("job", "exe", "att")}
        offered = {m.name: m.weights_sha256 for m in self.offers[-1].models}
        granted = None if model is None else GrantedModel(name=model, weights_sha256=offered.get(model))
        request: dict[str, Any] = {
            "model": None if granted is None else from_shape(granted),
            "messages": [] if model is None else [{"role": "user", "content": prompt}],
            "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": max_tokens, "stop": []},
            "seed": 7,
            "question": None if model is None else {"id": "q1", "set_sha256": None},
        }
        members: dict[str, Any] = {
            "network": NETWORK,
            "job": ids["job"],
            "execution": ids["exe"],
            "attempt": ids["att"],
            "lease_version": 2,
            "hive": hive_id(self.hive_key.raw),
            "model": granted,
            "spec_sha256": "0" * 64,
            "request_sha256": hashlib.sha256(encode_canonical(request)).hexdigest(),
            "seed": 7,
            "expires": format_ms(now_ms + 15_000),
            "nonce": encode_base64(os.urandom(32)),
        }
        signed = sign_grant(Grant(**{**members, **(grant_changes or {})}), self.key)
        lease: dict[str, Any] = {
            "job": ids["job"],
            "execution": ids["exe"],
            "attempt": ids["att"],
            "lease_version": 2,
            "lease_until_ms": now_ms + 15_000,
            "grant": from_shape(signed.grant),
            "grant_signature": signed.signature,
            "request": request,
            "result_url": RESULT_PATH.format(attempt=ids["att"]),
            "first_token_timeout_s": 10.0,
            "stall_timeout_s": 10.0,
            "run_timeout_s": 30.0,
        }
        return Lease(**{**lease, **changes})

    # ── its routes ───────────────────────────────────────────────────────────────────────────────

    async def enrol(self, request: web.Request) -> web.Response:
        message = msgspec.json.decode(await request.read(), type=Enrol)
        verify_enrol(message)
        self.hive_key = PublicKey.from_base64(message.public_key)
        answer = Enrolled(
            hive=message.hive, network=NETWORK, service_key=self.key.public.base64, policy="# policy\n"
        )
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=None)
        await socket.prepare(request)
        hello = msgspec.json.decode((await socket.receive()).data, type=Hello)
        transcript = Transcript(
            network=NETWORK,
            hive=hello.hive,
            hive_key=hello.public_key,
            service_key=self.key.public.base64,
            hive_nonce=hello.nonce,
            service_nonce=encode_base64(os.urandom(32)),
            protocol=PROTOCOL_VERSION,
        )
        challenge = Challenge(
            network=NETWORK,
            service_key=transcript.service_key,
            nonce=transcript.service_nonce,
            signature=transcript.sign("service", self.key),
        )
        await socket.send_str(msgspec.json.encode(challenge).decode())
        proof = await socket.receive()
        if proof.type is not WSMsgType.TEXT:
            return socket
        transcript.verify("hive", msgspec.json.decode(proof.data, type=Proof).signature)
        self.hive_key = PublicKey.from_base64(hello.public_key)
        await self._serve(socket)
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        self.epoch += 1
        self._channel = Channel(self.epoch)
        self._socket = socket
        self._token = f"token-of-epoch-{self.epoch}"
        welcome = Welcome(
            epoch=self.epoch,
            session_token=self._token,
            heartbeat_s=self.heartbeat_s,
            lease_ttl_s=15.0,
            now_ms=time.time_ns() // 1_000_000,
        )
        await socket.send_str(msgspec.json.encode(welcome).decode())
        self.linked = True
        self.changed.set()
        async for message in socket:
            frame = msgspec.json.decode(message.data, type=HiveFrame)
            if self._channel.receive(frame.epoch, frame.seq, frame.ack) is Delivery.FRESH:
                await self._handle(frame.body)
                self.changed.set()
        self.linked = False
        self.changed.set()

    async def _handle(self, body: Any) -> None:
        match body:
            case Offer():
                self.offers.append(body)
            case Reconcile(held=held):
                self.reconciled.append(body)
                await self._judge(held)
            case Heartbeat(held=held):
                self.heartbeats += 1
                await self._judge(held)
            case Started(attempt=attempt):
                self.started.append(attempt)
            case Declined():
                self.declined.append(body)

    async def _judge(self, held: tuple[Any, ...]) -> None:
        names = [item.attempt for item in held]
        proceed = tuple(name for name in names if name not in self.drop)
        await self.send(Verdicts(proceed=proceed, drop=tuple(name for name in names if name in self.drop)))

    async def accept(self, request: web.Request) -> web.Response:
        self.posts += 1
        self.changed.set()
        body = await request.read()
        status = self.answers.pop(0) if self.answers else 200
        if status != 200:
            return web.json_response({"code": f"scripted_{status}"}, status=status)
        if request.headers["Authorization"] != f"Bearer {self._token}":
            return web.json_response({"code": "epoch_stale"}, status=401)
        frame = msgspec.json.decode(body, type=ResultFrame)
        assert self.hive_key is not None and body.endswith(b"\n")
        receipt = verify_receipt(decode_base64(frame.envelope), self.hive_key)
        assert receipt.attempt == frame.attempt == request.match_info["attempt"]
        assert request.headers["Hivemark-Hive"] == receipt.hive.id
        self._require_disclosed(frame, receipt)
        self.delivered[frame.attempt] = Delivered(frame, receipt, int(request.headers["Hivemark-Epoch"]))
        self.changed.set()
        answer = ResultAnswer(attempt=frame.attempt, outcome=self.outcome)  # type: ignore[arg-type]
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _require_disclosed(self, frame: ResultFrame, receipt: Receipt) -> None:
        shown, hidden = frame.disclosure, receipt.commitments
        if frame.attempt in self.leases:
            request = encode_canonical(self.leases[frame.attempt].request)
            verify_commitment(hidden.request, salt=decode_base64(shown.request_salt), content=request)
        if shown.output is not None and shown.output_salt is not None:
            assert hidden.output is not None
            salt, output = decode_base64(shown.output_salt), shown.output.encode()
            verify_commitment(hidden.output, salt=salt, content=output)
            for prefix in hidden.prefixes:
                verify_commitment(prefix.commitment, salt=salt, content=output[: prefix.bytes])
        if shown.token_ids is not None and shown.token_ids_salt is not None:
            assert hidden.token_ids is not None
            verify_commitment(
                hidden.token_ids,
                salt=decode_base64(shown.token_ids_salt),
                content=encode_canonical(list(shown.token_ids)),
            )


@pytest.fixture
async def coordinator() -> AsyncIterator[FakeCoordinator]:
    fake = FakeCoordinator(key=PrivateKey.generate(os.urandom))
    await fake.start()
    yield fake
    await fake.stop()


@dataclass
class RunningHive:
    """A hive agent in a process of its own."""

    home: Path
    process: asyncio.subprocess.Process
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ended(self, *, timeout_s: float = 10.0) -> int:
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    def log(self) -> list[dict[str, Any]]:
        lines = (self.home / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


class Hives:
    """Makes homes and starts agents; ends them all when the test is over."""

    def __init__(self, folder: Path, coordinator: FakeCoordinator) -> None:
        self._folder = folder
        self._coordinator = coordinator
        self._started: list[RunningHive] = []

    async def join(self, *, worker: Worker | None = None, **changes: Any) -> Path:
        home = self._folder / f"hive-{len(list(self._folder.iterdir()))}"
        members: dict[str, Any] = {"name": "attic", "region": "US", "slots": 2, "threads": 1, **changes}
        link = self._coordinator.join_link()
        await asyncio.to_thread(lambda: enrol(home, link, worker=worker, **members))
        return home

    async def start(self, home: Path, *flags: str, stdin: int | None = None) -> RunningHive:
        with (home / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hivemark.hive", "--home", str(home), *flags),
                stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        hive = RunningHive(home, process)
        self._started.append(hive)
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = json.loads(await process.stdout.readline())
        assert line["event"] == "ready", line
        hive.ready = line
        return hive

    async def scripted(self, *flags: str, **changes: Any) -> RunningHive:
        """A linked hive whose workers are scripted engines."""
        changes.setdefault("worker", Worker(command=(*SCRIPTED, *flags), withdrawn_s=3.0))
        hive = await self.start(await self.join(**changes))
        await self._coordinator.wait(lambda: self._coordinator.offers)
        return hive

    async def end(self) -> None:
        for hive in self._started:
            left = hive.workers()
            if hive.process.returncode is None:
                hive.signal(signal.SIGCONT)
                hive.process.kill()
                await hive.process.wait()
            for worker in left:
                if worker.is_running():
                    worker.kill()


@pytest.fixture
async def hives(tmp_path: Path, coordinator: FakeCoordinator) -> AsyncIterator[Hives]:
    started = Hives(tmp_path, coordinator)
    yield started
    await started.end()
