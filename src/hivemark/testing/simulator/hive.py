"""A simulated machine: the real `HiveCore`, outbox and receipts, around an engine that is only chance.

The outbox outlives a crash as its file would; everything else of the process is gone.
"""

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

import msgspec

from hivemark.api.link import Offer, OfferedModel, ResultAnswer
from hivemark.hive.core import HiveCore, HiveIdentity
from hivemark.hive.effects import (
    CloseLink,
    Effect,
    ForgetResult,
    GiveUp,
    PostResult,
    Reconnect,
    SendFrame,
    ShelveResult,
    StartAttempt,
    StopAttempt,
)
from hivemark.hive.outbox import Outbox, StoredResult
from hivemark.hive.receipts import ReceiptContext, Salts, build_result
from hivemark.hive.request import parse_request
from hivemark.hive.results import PostOutcome, PutOff, Refused, Stale
from hivemark.protocol.base64strict import decode_base64
from hivemark.protocol.ids import hive_id
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.testing.simulator.engine import MODEL, WEIGHTS_SHA256, Moods, Run, attempted, draw_run
from hivemark.testing.simulator.network import Network, Wire
from hivemark.testing.simulator.world import World

TICK_MS: Final = 1_000
LEAVING_MS: Final = 150


class Coordinator(Protocol):
    """What a hive sees of the coordinator."""

    def connect(self, wire: Wire, hive: "SimulatedHive") -> bool: ...
    def post_result(self, hive: str, post: PostResult, body: bytes) -> PostOutcome | None: ...


class SimulatedHive:
    """One machine with one hive agent, which may be killed, stopped for a while, or cut off."""

    def __init__(
        self, world: World, network: Network, coordinator: Coordinator, *, name: str, region: str, slots: int
    ) -> None:
        self.name = name
        self.region = region
        self.key = PrivateKey.from_seed(world.random(f"key/{name}").randbytes(32))
        self.outbox = Outbox(Path(":memory:"))
        self.moods = Moods()
        self.given_up: str | None = None
        self.shelved: list[tuple[str, str]] = []
        self.signed: dict[str, str] = {}  # attempt → SHA-256 of the envelope that it promised to deliver
        self.core: HiveCore | None = None
        self._world = world
        self._network = network
        self._coordinator = coordinator
        self._random = world.random(f"hive/{name}")
        self._slots = slots
        self._life = 0
        self._asleep: deque[Callable[[], None]] | None = None
        self._wire: Wire | None = None
        self._attempts: dict[str, StartAttempt] = {}
        self._identity: HiveIdentity | None = None

    # ── what befalls it ──────────────────────────────────────────────────────────────────────────

    def enrolled(self, *, network: str, service_key: PublicKey) -> None:
        """It knows whom to believe."""
        self._identity = HiveIdentity(
            key=self.key, network=network, service_key=service_key, software="simulator"
        )

    def start(self) -> None:
        """The process begins, with whatever its outbox holds."""
        assert self._identity is not None
        self._life += 1
        self._world.note(self.name, f"starts, {len(self.outbox.waiting())} results in its outbox")
        self.core = HiveCore(
            self._identity, self._offer(), random=self._random.randbytes, waiting=self.outbox.waiting()
        )
        self._connect()
        self._tick()

    def kill(self) -> None:
        """SIGKILL: memory and connections are gone, the outbox stays."""
        if self.core is None:
            return
        self._world.note(self.name, f"is killed while running {len(self._attempts)}")
        self._life += 1
        self.core = None
        self._asleep = None
        self._attempts.clear()
        if self._wire is not None:
            self._wire.close("hive")
            self._wire = None

    def leave(self) -> None:
        """SIGTERM: what runs is given back, then the process ends."""
        core, life = self.core, self._life
        if core is None or self._asleep is not None:
            return
        self._world.note(self.name, f"leaves while running {len(self._attempts)}")
        for effect in core.stop():
            self._carry_out(effect)
        self._world.after(LEAVING_MS, lambda: self.kill() if self._life == life else None)

    def stop(self) -> None:
        """SIGSTOP: nothing of it happens until it goes on."""
        if self.core is not None and self._asleep is None:
            self._world.note(self.name, "is stopped")
            self._asleep = deque()

    def go_on(self) -> None:
        """SIGCONT: everything that waited happens at once."""
        waiting, self._asleep = self._asleep, None
        if waiting is None:
            return
        self._world.note(self.name, f"goes on, {len(waiting)} things waited")
        while waiting and self.core is not None:
            waiting.popleft()()

    @property
    def id(self) -> str:
        return hive_id(self.key.public.raw)

    @property
    def is_idle(self) -> bool:
        """Linked, nothing running, nothing to deliver."""
        core = self.core
        return core is not None and core.linked and not core.running and not core.results_waiting

    @property
    def state(self) -> str:
        """In words, for a problem's line."""
        core = self.core
        if core is None:
            return "down"
        return (
            f"linked {core.linked}, running {core.running}, waiting {core.results_waiting}, "
            f"given up {self.given_up}"
        )

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    def end_of(self, wire: Wire) -> "HiveEnd":
        """This machine's end of a connection; what comes from any but the newest is ignored."""
        return HiveEnd(wire, self)

    def happen_on(self, wire: Wire, step: Callable[[HiveCore], list[Effect]]) -> None:
        """Happens unless the connection has been given up meanwhile."""
        self._soon(lambda core: step(core) if self._wire is wire else [])

    def mono_ms(self) -> int:
        return self._world.clock.mono_ms()

    def lost(self, wire: Wire) -> None:
        """The connection is gone, or was never made."""

        def step(core: HiveCore) -> list[Effect]:
            wire.close("hive")
            self._wire = None
            return core.closed()

        self.happen_on(wire, step)

    def _connect(self) -> None:
        wire = Wire(self._world, self._network, self.name)

        def arrive() -> Callable[[], None] | None:
            return opened if self._coordinator.connect(wire, self) else None

        def opened() -> None:
            self.happen_on(wire, lambda core: core.opened(mono_ms=self.mono_ms()))

        self._wire = wire
        self._network.request(self.name, self._unless_dead(arrive), lambda: self.lost(wire), may_repeat=False)

    # ── the core ─────────────────────────────────────────────────────────────────────────────────

    def _soon(self, step: Callable[[HiveCore], list[Effect]]) -> None:
        """Happens now, or when the process goes on, or never when it was killed."""
        life = self._life

        def happen() -> None:
            if self._life == life and self.core is not None:
                for effect in step(self.core):
                    self._carry_out(effect)

        if self._asleep is not None:
            self._asleep.append(happen)
        else:
            happen()

    def _later(self, delay_ms: int, step: Callable[[HiveCore], list[Effect]]) -> None:
        life = self._life
        self._world.after(delay_ms, lambda: self._soon(step) if self._life == life else None)

    def _unless_dead(
        self, ask: Callable[[], Callable[[], None] | None]
    ) -> Callable[[], Callable[[], None] | None]:
        """A connection is only made while somebody waits for it."""
        life = self._life
        return lambda: ask() if self._life == life else None

    def _tick(self) -> None:
        def step(core: HiveCore) -> list[Effect]:
            self._later(TICK_MS, step)
            return core.tick(mono_ms=self.mono_ms())

        self._later(TICK_MS, step)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendFrame(text=text):
                if self._wire is not None:
                    self._wire.send("coordinator", text)
            case CloseLink(code=code, reason=reason):
                self._close(f"{code}: {reason}")
            case Reconnect(after_s=after_s):
                self._later(int(after_s * 1000), self._reconnect)
            case GiveUp(code=code, reason=reason):
                self.given_up = code
                self._world.note(self.name, f"gives up: {code}: {reason}")
            case StartAttempt():
                self._begin(effect)
            case StopAttempt(attempt=attempt):
                self._world.note(self.name, f"stops {attempt}")
                self._attempts.pop(attempt, None)
            case PostResult():
                self._post(effect)
            case ForgetResult(attempt=attempt):
                self.outbox.forget([attempt])
            case ShelveResult(attempt=attempt, code=code):
                self._world.note(self.name, f"shelves {attempt}: {code}")
                self.shelved.append((attempt, code))
                self.outbox.shelve(attempt, code)

    def _close(self, why: str) -> None:
        self._world.note(self.name, f"closes its link: {why}")
        if self._wire is not None:
            self._wire.close("hive")
            self._wire = None
        self._soon(lambda core: core.closed())

    def _reconnect(self, _core: HiveCore) -> list[Effect]:
        if self._wire is None:
            self._connect()
        return []

    # ── the engine ───────────────────────────────────────────────────────────────────────────────

    def _begin(self, start: StartAttempt) -> None:
        attempt, run = start.lease.attempt, draw_run(self._random, self.moods)
        self._world.note(self.name, f"begins {attempt}, lease {start.lease.lease_version}")
        if run.is_declined:
            self._later(5, lambda core: core.attempt_declined(attempt, code="model_not_ready", message="no"))
            return
        self._attempts[attempt] = start

        def started(core: HiveCore) -> list[Effect]:
            return core.attempt_started(attempt) if self._attempts.get(attempt) is start else []

        def finished(core: HiveCore) -> list[Effect]:
            if self._attempts.pop(attempt, None) is not start:
                return []
            self._keep(start, run)
            return core.attempt_finished(attempt, mono_ms=self.mono_ms())

        self._later(run.begins_after_ms, started)
        self._later(run.begins_after_ms + run.takes_ms, finished)

    def _keep(self, start: StartAttempt, run: Run) -> None:
        """The signed result goes into the outbox, before the core hears of it."""
        assert self._identity is not None
        lease, now_ms = start.lease, self._world.clock.now_ms()
        request, salts = parse_request(lease.request), Salts.draw(self._random.randbytes)
        frame = build_result(
            ReceiptContext(self.key, self._identity.network, self.region, ("region",)),
            lease,
            request,
            attempted(request, run, output_salt=salts.output, finished_ms=now_ms),
            grant_sha256=start.grant_sha256,
            salts=salts,
        )
        body = msgspec.json.encode(frame)
        self.outbox.put([StoredResult(lease.attempt, lease.lease_version, lease.result_url, body, now_ms)])
        self.signed[lease.attempt] = sha256(decode_base64(frame.envelope)).hexdigest()

    # ── delivery ─────────────────────────────────────────────────────────────────────────────────

    def _post(self, post: PostResult) -> None:
        body = self.outbox.body(post.attempt)
        assert body is not None, "what is posted stands in the outbox"

        def arrive() -> Callable[[], None] | None:
            answer = self._coordinator.post_result(self.id, post, body)
            if answer is None:
                return None
            return lambda: self._soon_in(life, lambda core: self._answered(core, post, answer))

        def failed() -> None:
            step = lambda core: core.result_put_off(post.attempt, mono_ms=self.mono_ms())  # noqa: E731
            self._soon_in(life, step)

        life = self._life
        self._network.request(self.name, arrive, failed)

    def _soon_in(self, life: int, step: Callable[[HiveCore], list[Effect]]) -> None:
        if self._life == life:
            self._soon(step)

    def _answered(self, core: HiveCore, post: PostResult, answer: PostOutcome) -> list[Effect]:
        """As the agent does."""
        mono_ms = self.mono_ms()
        self._world.note(self.name, f"{post.attempt} is answered {answer}")
        match answer:
            case ResultAnswer():
                return core.result_answered(answer, mono_ms=mono_ms)
            case Refused(code=code):
                return core.result_refused(post.attempt, code=code, mono_ms=mono_ms)
            case Stale():
                return core.result_stale(post.attempt, epoch=post.epoch)
            case PutOff(retry_after_s=retry_after_s):
                return core.result_put_off(post.attempt, mono_ms=mono_ms, retry_after_s=retry_after_s)

    def _offer(self) -> Offer:
        model = OfferedModel(name=MODEL, weights_sha256=WEIGHTS_SHA256, engine="chance")
        return Offer(
            name=self.name, region=self.region, slots=self._slots, models=(model,), simulated=("region",)
        )


class HiveEnd:
    """The hive's end of one connection."""

    def __init__(self, wire: Wire, hive: SimulatedHive) -> None:
        self._wire = wire
        self._hive = hive

    def received(self, text: bytes) -> None:
        hive = self._hive
        hive.happen_on(self._wire, lambda core: core.frame_received(text, mono_ms=hive.mono_ms()))

    def disconnected(self) -> None:
        self._hive.lost(self._wire)
