"""A simulated coordinator: the real services, link sessions and sequencer on a disk that outlives them.

A crash drops every object; a start builds them again on what the disk holds.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from hivemark.api.handshake import sign_enrol
from hivemark.api.link import Enrol, ResultFrame
from hivemark.api.status import STATUS
from hivemark.coordinator.gateway.session import Close, Effect, LinkSession, Send
from hivemark.coordinator.loops.sequencer import Sequencer
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.service.access import Reader
from hivemark.coordinator.service.assembly import Rules, Services, build_services
from hivemark.coordinator.service.calls import CallRules
from hivemark.coordinator.service.hints import NoHints
from hivemark.coordinator.service.identity import Identity
from hivemark.coordinator.service.lease import LeaseRules
from hivemark.coordinator.service.submit import IntakeRules
from hivemark.coordinator.store.fsck import check_database
from hivemark.coordinator.store.fscklog import check_log
from hivemark.coordinator.store.store import SqlStore
from hivemark.credits.price import MICRO_PER_CREDIT, Price
from hivemark.errors import HivemarkError, InternalError
from hivemark.fleet.leases import HEARTBEAT_S, LEASE_TTL_S
from hivemark.hive.effects import PostResult
from hivemark.hive.results import PostOutcome, read_answer
from hivemark.jobs.questions import load_question_sets
from hivemark.protocol.ids import account_id
from hivemark.protocol.keys import PrivateKey
from hivemark.testing.simulator.hive import SimulatedHive
from hivemark.testing.simulator.network import Wire
from hivemark.testing.simulator.storage import NETWORK, Disk, SimulatedCrash
from hivemark.testing.simulator.world import World
from hivemark.translog.note import NoteSigner
from hivemark.translog.policy import Log, Policy, encode_policy

T = TypeVar("T")

ORIGIN: Final = "hivemark.dev/log/simulated/2026"
LOOP_MS: Final = 1_500
RESTART_MS: Final = (50, 6_000)
_QUESTIONS: Final = load_question_sets()
_RULES: Final = Rules(
    intake=IntakeRules(
        regions=("US", "EU", "ASIA"),
        default_visibility="private",
        age_max_s=86_400,
        skew_max_s=300,
        price=Price(),
    ),
    lease=LeaseRules(
        lease_ttl_s=LEASE_TTL_S, heartbeat_s=HEARTBEAT_S, first_token_timeout_s=60, stall_timeout_s=60
    ),
    calls=CallRules(queue_timeout_s=60, total_timeout_s=600),
    grant_micro=1_000 * MICRO_PER_CREDIT,
)


class SimulatedCoordinator:
    """One process at a time; `services` is None while it is down."""

    def __init__(self, world: World, disk: Disk) -> None:
        self.disk = disk
        self.services: Services | None = None
        self.up_since_ms = 0
        self._world = world
        self._random = world.random("coordinator")
        self._metrics = Metrics()
        self._life = 0
        self._ends: list[_End] = []
        self._stalled: deque[Callable[[], None]] | None = None
        self.found_by_fsck: list[str] = []
        service_key = PrivateKey.from_seed(self._random.randbytes(32))
        log_key = PrivateKey.from_seed(self._random.randbytes(32))
        verifier = NoteSigner(ORIGIN, log_key).verifier
        self.policy = Policy(network=NETWORK, service_key=service_key.public, logs=(Log(verifier=verifier),))
        self.operator = PrivateKey.from_seed(self._random.randbytes(32))
        self._identity = Identity(
            network=NETWORK,
            origin=ORIGIN,
            operator=account_id(self.operator.public.raw),
            policy=encode_policy(self.policy).decode(),
            service_key=service_key,
            log_key=log_key,
        )

    # ── its life ─────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """The process begins on what the disk holds."""
        if self.services is not None:
            return
        self._life += 1
        self._world.note("coordinator", f"starts ({self._life})")
        store = self.disk.store()
        self.services = build_services(
            store=store,
            blobs=self.disk.blobs,
            tiles=self.disk.tiles,
            identity=self._identity,
            rules=_RULES,
            questions=_QUESTIONS,
            random=self._random.randbytes,
            hints=NoHints(),
            metrics=self._metrics,
            run=f"run-{self._life}",
        )
        self.up_since_ms = self._world.clock.mono_ms()
        sequencer = self._sequencer(store)
        for step in (self.services.reaper.step, self.services.deadlines.step, sequencer.step):
            self._loop(step)

    def crash(self, why: str, *, back_after_ms: int | None = None) -> None:
        """Everything in memory is gone; a new process starts after a while."""
        if self.services is None:
            return
        self._world.note("coordinator", f"crashes: {why}")
        self.services, self._stalled = None, None
        self._life += 1
        self.disk.database.lose_what_is_not_durable()
        self.fsck(at_rest=False)
        ends, self._ends = self._ends, []
        for end in ends:
            end.wire.close("coordinator")
        drawn_ms = self._random.randint(*RESTART_MS)
        self._world.after(drawn_ms if back_after_ms is None else back_after_ms, self.start)

    def stall(self, for_ms: int) -> None:
        """Nothing of the process happens for a while, as under SIGSTOP or in a machine that sleeps."""
        if self.services is None or self._stalled is not None:
            return
        self._world.note("coordinator", f"stalls for {for_ms} ms")
        self._stalled = deque()
        self.after_all(for_ms, self._go_on)

    def _go_on(self) -> None:
        waiting, self._stalled = self._stalled, None
        while waiting:
            waiting.popleft()()

    def drain(self, hive: str, for_ms: int) -> None:
        """An operator drains a hive, and changes his mind."""

        self._set_draining(hive, True)
        self._world.after(for_ms, lambda: self._set_draining(hive, False))

    def settle_down(self, hives: list[SimulatedHive]) -> None:
        """Up, awake, and no hive is draining."""
        self.start()
        self._go_on()
        for hive in hives:
            self._set_draining(hive.id, False)

    def _set_draining(self, hive: str, on: bool) -> None:
        services = self.services
        if services is not None and self._stalled is None:
            self.ask(lambda: services.hives.set_draining(hive, on))

    @property
    def is_up(self) -> bool:
        return self.services is not None and self._stalled is None

    def fsck(self, *, at_rest: bool) -> None:
        """What `hivemark fsck` says of the disk. A crash may leave the checkpoint's file behind the database
        (the next leader puts that right), so the log is only checked at rest."""
        store = self.disk.store()
        found = check_database(store)
        if at_rest:
            found += check_log(store, self.disk.tiles, self.policy.logs[0].verifier)
        self.found_by_fsck += [f"{self._world.clock.mono_ms() / 1000:.3f} s: fsck: {line}" for line in found]

    def introduce(self, hives: list[SimulatedHive], clients: list[PrivateKey]) -> None:
        """Enrol the hives and trust the clients' keys, before anything goes wrong."""
        services, now_ms = self.services, self._world.clock.now_ms()
        assert services is not None
        for key in clients:
            services.keys.trust(key.public.base64, key_id=None, grant_micro=None, now_ms=now_ms)
        for hive in hives:
            token, _ = services.hives.make_join_token(
                owner=self._identity.operator, ttl_s=3_600, now_ms=now_ms
            )
            public = hive.key.public
            message = Enrol(
                token=token,
                hive=hive.id,
                public_key=public.base64,
                name=hive.name,
                region=hive.region,
                signature="",
            )
            services.hives.enrol(sign_enrol(message, hive.key), address=None, now_ms=now_ms)
            hive.enrolled(network=NETWORK, service_key=self.policy.service_key)

    # ── what hives ask ───────────────────────────────────────────────────────────────────────────

    def connect(self, wire: Wire, hive: SimulatedHive) -> bool:
        """Accept a connection; False while the process is down."""
        if self.services is None or self._stalled is not None:
            return False
        session = LinkSession(
            links=self.services.links,
            identity=self._identity,
            metrics=self._metrics,
            random=self._random.randbytes,
            address=None,
            now_ms=self._world.clock.now_ms(),
        )
        end = _End(self, wire, session, self._life)
        wire.attach(hive=hive.end_of(wire), coordinator=end)
        self._ends.append(end)
        end.tick()
        return True

    def post_result(self, hive: str, post: PostResult, body: bytes) -> PostOutcome | None:
        """What the result route answers, as the hive reads it; None when nobody answers."""
        services = self.services
        if services is None or self._stalled is not None:
            return None

        def accept() -> bytes:
            row = services.links.require_session(hive=hive, epoch=post.epoch, token=post.session_token)
            frame = msgspec.json.decode(body, type=ResultFrame)
            return msgspec.json.encode(services.results.accept(row, frame, now_ms=self.now_ms()))

        answer = self.ask(accept)
        if answer is None:
            return None
        if isinstance(answer, HivemarkError):
            problem = msgspec.json.encode({"code": answer.code})
            return read_answer(STATUS[answer.kind], problem, None)
        return read_answer(200, answer, None)

    # ── what users ask ───────────────────────────────────────────────────────────────────────────

    def submit(self, raw: bytes, idempotency_key: str) -> str | HivemarkError | None:
        """The job's id, a refusal, or no answer."""
        services = self.services
        if services is None or self._stalled is not None:
            return None
        return self.ask(
            lambda: (
                services.submission.submit(raw, idempotency_key=idempotency_key, now_ms=self.now_ms()).job.id
            )
        )

    def cancel(self, job: str, account_key: PrivateKey) -> HivemarkError | str | None:
        """The job's state afterwards, a refusal, or no answer."""
        services = self.services
        if services is None or self._stalled is not None:
            return None
        reader = Reader(account=account_id(account_key.public.raw))
        return self.ask(lambda: str(services.jobs.cancel(job, reader, now_ms=self.now_ms()).state))

    def ask(self, action: Callable[[], T]) -> T | HivemarkError | None:
        """Carry out one request as the outermost layer does: None when the process ended in its midst."""
        try:
            return action()
        except SimulatedCrash as crash:
            self.crash(f"at a write: {crash}")
            return None
        except HivemarkError as error:
            return error
        except OSError as error:
            return InternalError(str(error))

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def is_living(self, life: int) -> bool:
        return self._life == life

    def forget(self, end: "_End") -> None:
        self._ends.remove(end)

    def after(self, delay_ms: int, event: Callable[[], None]) -> None:
        """An event of this process: it waits while the process is stalled, and dies with it."""
        self.after_all(delay_ms, lambda: self.soon(event))

    def after_all(self, delay_ms: int, event: Callable[[], None]) -> None:
        """The same, stalled or not."""
        life = self._life
        self._world.after(delay_ms, lambda: event() if self._life == life else None)

    def soon(self, event: Callable[[], None]) -> None:
        """Happens now, or when the process goes on."""
        if self._stalled is None:
            event()
        else:
            self._stalled.append(event)

    def note(self, what: str) -> None:
        self._world.note("coordinator", what)

    def _loop(self, step: Callable[[int], int]) -> None:
        """As the loop runner does: a step that fails is noted and tried again."""
        life = self._life

        def again() -> None:
            failure = self.ask(lambda: step(self.now_ms()))
            if isinstance(failure, HivemarkError):
                self.note(f"a loop fails: {failure.code}: {failure}")
            if self._life == life:
                self.after(LOOP_MS, again)

        self.after(self._random.randint(1, LOOP_MS), again)

    def _sequencer(self, store: SqlStore) -> Sequencer:
        signer = NoteSigner(ORIGIN, self._identity.log_key)
        return Sequencer(store, self.disk.tiles, signer, holder=f"coordinator-{self._life}")

    def now_ms(self) -> int:
        return self._world.clock.now_ms()


class _End:
    """The coordinator's end of one connection, as `gateway/routes.py` keeps it."""

    def __init__(
        self, coordinator: SimulatedCoordinator, wire: Wire, session: LinkSession, life: int
    ) -> None:
        self.wire = wire
        self._coordinator = coordinator
        self._session = session
        self._life = life
        self._ended = False

    def received(self, text: bytes) -> None:
        self._coordinator.soon(lambda: self._step(lambda now_ms: self._session.receive(text, now_ms=now_ms)))

    def disconnected(self) -> None:
        self._coordinator.soon(self._end)

    def tick(self) -> None:
        """Twice a second in the real shell; once is enough here."""
        self._step(lambda now_ms: self._session.tick(now_ms=now_ms))
        if not self._ended:
            self._coordinator.after(LOOP_MS, self.tick)

    def _step(self, step: Callable[[int], list[Effect]]) -> None:
        if self._ended or not self._coordinator.is_living(self._life):
            return
        effects = self._coordinator.ask(lambda: step(self._coordinator.now_ms()))
        if isinstance(effects, HivemarkError):
            self._coordinator.note(f"a link breaks: {effects}")
            effects = [Close(1011, effects.code)]
        for effect in effects or []:
            match effect:
                case Send(text=text):
                    self.wire.send("hive", text)
                case Close(reason=reason):
                    self._coordinator.note(f"closes a link: {reason}")
                    self.wire.close("coordinator")
                    self._end()

    def _end(self) -> None:
        if self._ended or not self._coordinator.is_living(self._life):
            return
        self._ended = True
        self._coordinator.forget(self)
        self._coordinator.ask(lambda: self._session.end(now_ms=self._coordinator.now_ms()))
