"""The conduct of a hive on its link, without I/O: facts go in, effects come out (docs/spec/link 2-6).

One thread calls the methods; each returns what the shell has to do, in order. Times are monotonic
milliseconds, randomness is passed in, so the simulator drives the same code under a seed. Losing the link
stops no attempt; a finished attempt is a result in the durable outbox before the core hears of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

import msgspec

from hivemark.api.link import (
    DECLINED_MESSAGE_CHARS_MAX,
    FRAME_BYTES_MAX,
    Cancel,
    Challenge,
    CoordinatorFrame,
    CoordinatorMessage,
    Declined,
    Drain,
    HandshakeMessage,
    Heartbeat,
    HeldAttempt,
    HiveFrame,
    HiveMessage,
    Lease,
    Offer,
    Reconcile,
    Refused,
    ResultAnswer,
    Started,
    Verdicts,
    Welcome,
)
from hivemark.errors import HivemarkError, InvalidError
from hivemark.fleet.channel import Channel, Delivery
from hivemark.fleet.leases import LINK_LOST_AFTER_S
from hivemark.hive.backoff import jittered_ms
from hivemark.hive.effects import (
    CloseLink,
    CutAttempt,
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
from hivemark.hive.handshake import HiveHandshake
from hivemark.hive.leasecheck import LeaseRefused, require_runnable
from hivemark.hive.results_book import ResultsBook
from hivemark.protocol.ids import hive_id
from hivemark.protocol.keys import PrivateKey, PublicKey

HANDSHAKE_TIMEOUT_MS: Final = 10_000
RECONNECT_FIRST_MS: Final = 200
RECONNECT_MAX_MS: Final = 10_000
RESULTS_MAX: Final = 4_096
"""Results that may wait for delivery; with more, leases are declined (a `Reconcile` still fits its frame)."""

_PROTOCOL_ERRORS: Final = (HivemarkError, msgspec.DecodeError, UnicodeDecodeError)

Effects: TypeAlias = list[Effect]


class _Phase(Enum):
    DOWN = auto()
    HELLO_SENT = auto()
    PROOF_SENT = auto()
    UP = auto()
    CLOSING = auto()
    GIVEN_UP = auto()


@dataclass(frozen=True, slots=True)
class HiveIdentity:
    """Who the hive is, and whom it believes."""

    key: PrivateKey
    network: str
    service_key: PublicKey
    software: str

    @property
    def id(self) -> str:
        """The self-certifying id."""
        return hive_id(self.key.public.raw)


@dataclass(frozen=True, slots=True)
class WaitingResult:
    """What the core needs to know of a result in the outbox."""

    attempt: str
    lease_version: int
    url: str


@dataclass(slots=True)
class _Running:
    lease: Lease
    started: bool = False
    signed: bool = False
    cut: bool = False
    told_epoch: int | None = None


class HiveCore:
    """State of one hive: its link, its running attempts, its results on the way."""

    def __init__(
        self,
        identity: HiveIdentity,
        offer: Offer,
        *,
        random: Callable[[int], bytes],
        waiting: Iterable[WaitingResult] = (),
    ) -> None:
        self._identity = identity
        self._offer = offer
        self._random = random
        self._phase = _Phase.DOWN
        self._handshake: HiveHandshake | None = None
        self._channel: Channel | None = None
        self._session_token = ""
        self._heartbeat_ms = 0
        self._heartbeat_due_ms = 0
        self._heard_ms = 0
        self._linked_ms = 0
        self._failures = 0
        self._draining = False
        self._stopping = False
        self._running: dict[str, _Running] = {}
        self._results = ResultsBook(random=random)
        for result in waiting:
            self._results.add(result.attempt, lease_version=result.lease_version, url=result.url)

    # ── what health and tests look at ────────────────────────────────────────────────────────────

    @property
    def linked(self) -> bool:
        """Whether the handshake is done and the link stands."""
        return self._phase is _Phase.UP

    @property
    def epoch(self) -> int | None:
        """The epoch of the standing link."""
        return self._channel.epoch if self._channel is not None and self.linked else None

    @property
    def draining(self) -> bool:
        """Whether the coordinator said that no more leases come."""
        return self._draining

    @property
    def running(self) -> tuple[str, ...]:
        """Attempts that are being run."""
        return tuple(self._running)

    @property
    def results_waiting(self) -> int:
        """Results that are not acknowledged yet."""
        return len(self._results)

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    def opened(self, *, mono_ms: int) -> Effects:
        """The connection stands: begin the handshake (2.1)."""
        self._handshake = HiveHandshake(
            key=self._identity.key,
            service_key=self._identity.service_key,
            network=self._identity.network,
            software=self._identity.software,
            random=self._random,
        )
        self._phase = _Phase.HELLO_SENT
        self._heard_ms = mono_ms
        return [SendFrame(msgspec.json.encode(self._handshake.hello()))]

    def closed(self) -> Effects:
        """The connection is gone, or could not be made. What runs goes on."""
        if self._phase is _Phase.GIVEN_UP:
            return []
        self._phase = _Phase.DOWN
        self._channel = None
        self._session_token = ""
        self._failures += 1
        after_ms = jittered_ms(self._failures, RECONNECT_FIRST_MS, RECONNECT_MAX_MS, random=self._random)
        return [Reconnect(after_ms / 1000)]

    def frame_received(self, raw: bytes, *, mono_ms: int) -> Effects:
        """A text frame of the coordinator; anything that breaks the protocol closes the link."""
        self._heard_ms = mono_ms
        try:
            if len(raw) > FRAME_BYTES_MAX:
                raise InvalidError("the frame is too large", code="frame_too_large")
            match self._phase:
                case _Phase.HELLO_SENT | _Phase.PROOF_SENT:
                    return self._handshake_received(raw, mono_ms)
                case _Phase.UP:
                    return self._frame_received(raw, mono_ms)
                case _:
                    return []
        except _PROTOCOL_ERRORS as error:
            return self._close(getattr(error, "code", "frame_malformed"), str(error))

    def tick(self, *, mono_ms: int) -> Effects:
        """Whatever is due: heartbeat, results to post, a link that has been silent for too long."""
        if self._phase in (_Phase.HELLO_SENT, _Phase.PROOF_SENT):
            if mono_ms - self._heard_ms >= HANDSHAKE_TIMEOUT_MS:
                return self._close("handshake_timeout", "the coordinator did not finish the handshake")
            return []
        if self._phase is not _Phase.UP:
            return self._cut_calls(mono_ms)
        self._linked_ms = self._heard_ms
        if mono_ms - self._heard_ms >= LINK_LOST_AFTER_S * 1000:
            return self._close("link_silent", f"nothing was heard for {LINK_LOST_AFTER_S} s")
        effects: Effects = []
        if mono_ms >= self._heartbeat_due_ms:
            self._heartbeat_due_ms = mono_ms + self._heartbeat_ms
            self._failures = 0  # only a link that lasted ends the backoff
            effects += self._send(Heartbeat(held=self._held(), load=self._load()))
        return effects + self._post_due(mono_ms)

    # ── what happens on this machine ─────────────────────────────────────────────────────────────

    def offer_changed(self, offer: Offer) -> Effects:
        """Models, slots or devices are other than before."""
        if offer == self._offer:
            return []
        self._offer = offer
        return self._send(offer)

    def attempt_started(self, attempt: str) -> Effects:
        """The engine has begun."""
        running = self._running.get(attempt)
        if running is None:
            return []
        running.started = True
        return self._tell_started(running)

    def attempt_signed(self, attempt: str) -> Effects:
        """Its receipt is signed and on the way into the outbox: from now on nothing but the answer to it
        makes the hive forget it (6.3)."""
        if (running := self._running.get(attempt)) is not None:
            running.signed = True
        return []

    def attempt_delivered(self, attempt: str) -> Effects:
        """The answer to its stream acknowledged the result: nothing waits for delivery."""
        self._running.pop(attempt, None)
        return []

    def attempt_finished(self, attempt: str, *, mono_ms: int) -> Effects:
        """Its signed result, completed or failed, stands in the outbox."""
        running = self._running.pop(attempt, None)
        if running is None:  # dropped while the receipt was being written
            return [ForgetResult(attempt)]
        lease = running.lease
        self._results.add(attempt, lease_version=lease.lease_version, url=lease.result_url)
        return self._post_due(mono_ms)

    def attempt_declined(self, attempt: str, *, code: str, message: str) -> Effects:
        """Nothing was run for it; the lease goes back."""
        running = self._running.pop(attempt, None)
        if running is None:
            return []
        return self._decline(running.lease, code, message)

    def stop(self) -> Effects:
        """The agent ends: give back what runs. Results stay in the outbox."""
        self._stopping = True
        effects: Effects = []
        for attempt, running in list(self._running.items()):
            del self._running[attempt]
            effects.append(StopAttempt(attempt))
            effects += self._decline(running.lease, "stopping", "the hive is being stopped")
        return effects

    # ── answers to result posts ──────────────────────────────────────────────────────────────────

    def result_answered(self, answer: ResultAnswer, *, mono_ms: int) -> Effects:
        """Accepted, late or seen before: the outbox may forget it (5.4)."""
        if not self._results.remove(answer.attempt):
            return []
        return [ForgetResult(answer.attempt), *self._post_due(mono_ms)]

    def result_refused(self, attempt: str, *, code: str, mono_ms: int) -> Effects:
        """The coordinator will never take it (5.5)."""
        if not self._results.remove(attempt):
            return []
        return [ShelveResult(attempt, code), *self._post_due(mono_ms)]

    def result_stale(self, attempt: str, *, epoch: int) -> Effects:
        """The token of that epoch was refused; it is posted again on the next link (5.6)."""
        self._results.wait_for_epoch_after(attempt, epoch)
        return []

    def result_put_off(self, attempt: str, *, mono_ms: int, retry_after_s: float | None = None) -> Effects:
        """No answer, or not now (5.7)."""
        after_ms = None if retry_after_s is None else int(retry_after_s * 1000)
        self._results.put_off(attempt, mono_ms=mono_ms, after_ms=after_ms)
        return []

    # ── handshake ────────────────────────────────────────────────────────────────────────────────

    def _handshake_received(self, raw: bytes, mono_ms: int) -> Effects:
        message = _HANDSHAKE.decode(raw)
        match message:
            case Refused():
                return self._refused(message)
            case Challenge() if self._phase is _Phase.HELLO_SENT:
                assert self._handshake is not None
                self._phase = _Phase.PROOF_SENT
                return [SendFrame(msgspec.json.encode(self._handshake.prove(message)))]
            case Welcome() if self._phase is _Phase.PROOF_SENT:
                return self._welcomed(message, mono_ms)
            case _:
                raise InvalidError(f"{type(message).__name__} was not expected now", code="out_of_turn")

    def _welcomed(self, welcome: Welcome, mono_ms: int) -> Effects:
        self._phase = _Phase.UP
        self._handshake = None
        self._channel = Channel(welcome.epoch)
        self._session_token = welcome.session_token
        self._heartbeat_ms = int(welcome.heartbeat_s * 1000)
        self._heartbeat_due_ms = mono_ms + self._heartbeat_ms
        return [
            *self._send(Reconcile(held=self._held())),
            *self._send(self._offer),
            *self._post_due(mono_ms),
        ]

    def _refused(self, refused: Refused) -> Effects:
        if refused.retryable:
            return self._close(refused.code, refused.message)
        self._phase = _Phase.GIVEN_UP
        stops: Effects = [StopAttempt(attempt) for attempt in self._running]
        self._running.clear()
        return [*stops, CloseLink(refused.code, refused.message), GiveUp(refused.code, refused.message)]

    # ── messages on the standing link ────────────────────────────────────────────────────────────

    def _frame_received(self, raw: bytes, mono_ms: int) -> Effects:
        frame = _FRAME.decode(raw)
        assert self._channel is not None
        if self._channel.receive(frame.epoch, frame.seq, frame.ack) is Delivery.REPEATED:
            return []
        effects = self._handle(frame.body)
        if self._phase is _Phase.UP and self._channel.ack_due:
            self._heartbeat_due_ms = mono_ms
        return effects

    def _handle(self, body: CoordinatorMessage) -> Effects:
        match body:
            case Lease():
                return self._leased(body)
            case Verdicts():
                return self._judged(body)
            case Cancel(attempt=attempt):
                return self._cancelled(attempt)
            case Drain(on=on):
                self._draining = on
                return []

    def _leased(self, lease: Lease) -> Effects:
        if lease.attempt in self._running or lease.attempt in self._results:
            return []
        try:
            grant_sha256 = require_runnable(
                lease,
                hive=self._identity.id,
                service_key=self._identity.service_key,
                network=self._identity.network,
                offer=self._offer,
            )
            self._require_room()
        except LeaseRefused as refused:
            return self._decline(lease, refused.code, str(refused))
        assert self.epoch is not None, "a lease comes on a standing link"
        self._running[lease.attempt] = _Running(lease)
        return [StartAttempt(lease, grant_sha256, self._session_token, self.epoch)]

    def _require_room(self) -> None:
        if self._stopping:
            raise LeaseRefused("the hive is being stopped", code="stopping")
        if len(self._running) >= self._offer.slots:
            raise LeaseRefused(f"all {self._offer.slots} slots are taken", code="no_slot")
        if len(self._results) + len(self._running) >= RESULTS_MAX:
            raise LeaseRefused(f"{len(self._results)} results wait for delivery", code="outbox_full")

    def _cut_calls(self, mono_ms: int) -> Effects:
        """Nobody knows any more whether a client waits: calls end with what there is (3.5)."""
        if mono_ms - self._linked_ms < LINK_LOST_AFTER_S * 1000:
            return []
        effects: Effects = []
        for attempt, running in self._running.items():
            if running.lease.stream_url is not None and not running.cut:
                running.cut = True
                effects.append(CutAttempt(attempt, "link_lost"))
        return effects

    def _judged(self, verdicts: Verdicts) -> Effects:
        effects: Effects = []
        for attempt in verdicts.drop:
            effects += self._cancelled(attempt)
        for attempt in verdicts.proceed:
            running = self._running.get(attempt)
            if running is not None and running.started:
                effects += self._tell_started(running)
        return effects

    def _tell_started(self, running: _Running) -> Effects:
        """Once in each epoch: it may have been lost with an earlier connection. A call's stream says it."""
        if running.lease.stream_url is not None:
            return []
        if self.epoch is None or running.told_epoch == self.epoch:
            return []
        running.told_epoch = self.epoch
        lease = running.lease
        return self._send(Started(attempt=lease.attempt, lease_version=lease.lease_version))

    def _cancelled(self, attempt: str) -> Effects:
        """What runs ends without a receipt; one that is signed already is still delivered: the coordinator
        records it as late (6.3)."""
        running = self._running.get(attempt)
        if running is None or running.signed:
            return []
        del self._running[attempt]
        return [StopAttempt(attempt)]

    # ── sending ──────────────────────────────────────────────────────────────────────────────────

    def _send(self, body: HiveMessage) -> Effects:
        """Nothing while the link is down: the next epoch begins with everything that is held."""
        if self._phase is not _Phase.UP or self._channel is None:
            return []
        try:
            seq, ack = self._channel.send()
        except HivemarkError as error:
            return self._close(error.code, error.message)
        frame = HiveFrame(epoch=self._channel.epoch, seq=seq, ack=ack, body=body)
        return [SendFrame(msgspec.json.encode(frame))]

    def _close(self, code: str, reason: str) -> Effects:
        self._phase = _Phase.CLOSING
        return [CloseLink(code, reason)]

    def _decline(self, lease: Lease, code: str, message: str) -> Effects:
        return self._send(
            Declined(
                attempt=lease.attempt,
                lease_version=lease.lease_version,
                code=code,
                message=message[:DECLINED_MESSAGE_CHARS_MAX],
            )
        )

    def _post_due(self, mono_ms: int) -> Effects:
        epoch = self.epoch
        if epoch is None:
            return []
        return [
            PostResult(attempt, url, self._session_token, epoch)
            for attempt, url in self._results.take_due(mono_ms=mono_ms, epoch=epoch)
        ]

    def _held(self) -> tuple[HeldAttempt, ...]:
        running = (
            HeldAttempt(attempt=attempt, lease_version=item.lease.lease_version, finished=False)
            for attempt, item in self._running.items()
        )
        return (*running, *self._results.held())

    def _load(self) -> float:
        return len(self._running) / self._offer.slots if self._offer.slots else 1.0


_HANDSHAKE: Final[msgspec.json.Decoder[HandshakeMessage]] = msgspec.json.Decoder(HandshakeMessage)
_FRAME: Final[msgspec.json.Decoder[CoordinatorFrame]] = msgspec.json.Decoder(CoordinatorFrame)
