"""One link of one hive from its opening to its end, without I/O (docs/spec/link 2 to 4).

Drive it from one caller at a time: `receive` what came, `tick` now and then and after every hint, `end` once
when the connection is gone. Each answers what to send and whether to close, in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from hivemark.api.link import (
    Cancel,
    CoordinatorFrame,
    CoordinatorMessage,
    Declined,
    Drain,
    HandshakeMessage,
    Heartbeat,
    Hello,
    HiveFrame,
    Offer,
    Proof,
    Reconcile,
    Refused,
    Started,
    Verdicts,
    Welcome,
)
from hivemark.coordinator.gateway.handshake import ServiceHandshake
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.coordinator.service.links import Links, Session
from hivemark.errors import HivemarkError, InvalidError, Kind
from hivemark.fleet.channel import Channel, Delivery
from hivemark.fleet.leases import LINK_LOST_AFTER_S

HANDSHAKE_WITHIN_MS: Final = 10_000
CLOSE_REFUSED: Final = 1008
CLOSE_FAILED: Final = 1011
CLOSE_RESTART: Final = 1012
_SILENT_MS: Final = LINK_LOST_AFTER_S * 1000
_HANDSHAKE: Final = msgspec.json.Decoder(Hello | Proof)
_FRAME: Final = msgspec.json.Decoder(HiveFrame)
M = TypeVar("M")
_FOR_GOOD: Final = frozenset({"unknown_hive", "revoked", "protocol_unsupported"})
_REFUSALS: Final = frozenset({"unknown_hive", "revoked", "protocol_unsupported", "maintenance"})


@dataclass(frozen=True, slots=True)
class Send:
    """One text message for the hive."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; nothing is sent after it."""

    code: int
    reason: str


Effect = Send | Close


class LinkSession:
    """State of a link: handshake, then channel; the offer and the reconcile come before any lease."""

    def __init__(
        self,
        *,
        links: Links,
        identity: Identity,
        metrics: Metrics,
        random: Random,
        address: str | None,
        now_ms: int,
    ) -> None:
        self._links = links
        self._identity = identity
        self._metrics = metrics
        self._random = random
        self._address = address
        self._opened_ms = now_ms
        self._heard_ms = now_ms
        self._handshake: ServiceHandshake | None = None
        self._session: Session | None = None
        self._channel: Channel | None = None
        self._offered = False
        self._reconciled = False
        self._draining = False
        self._leased: set[str] = set()
        self.closed = False

    @property
    def hive(self) -> str | None:
        """The hive once the handshake has held."""
        return self._session.hive if self._session else None

    def receive(self, text: bytes, *, now_ms: int) -> list[Effect]:
        """What one message from the hive leads to."""
        return self._guard(self._receive(text, now_ms))

    def tick(self, *, now_ms: int) -> list[Effect]:
        """What time and hints lead to: leases, cancels, drains, and the end of a silent link."""
        return self._guard(self._tick(now_ms))

    def refuse(self, code: str, message: str) -> list[Effect]:
        """End the link from this side, as when the process stops; the hive may come back."""
        return self._guard(self._refusal(code, message, retryable=True, close=CLOSE_RESTART))

    def end(self, *, now_ms: int) -> None:
        """The connection is gone. Leases go on until they run out."""
        self.closed = True
        if self._session is not None:
            self._links.close(self._session.hive, epoch=self._session.epoch, now_ms=now_ms)
            self._session = None

    def _guard(self, steps: Iterator[Effect]) -> list[Effect]:
        """Run the steps; an error ends the link with its code, and what was said before it stays said."""
        effects: list[Effect] = []
        if self.closed:
            return effects
        try:
            effects.extend(steps)
        except HivemarkError as error:
            effects.extend(self._failed(error))
        self.closed = any(isinstance(effect, Close) for effect in effects)
        return effects

    def _failed(self, error: HivemarkError) -> Iterator[Effect]:
        self._metrics.links_refused.labels(code=error.code).inc()
        retryable = error.retryable or error.kind in (Kind.CONFLICT, Kind.INTERNAL)
        if self._session is None:
            code = error.code if error.code in _REFUSALS or retryable else "handshake_failed"
            # A hive ends for good on a refusal that is not retryable; a slow network is no reason to.
            retryable = error.code not in _FOR_GOOD
            yield from self._refusal(code, str(error), retryable=retryable, close=CLOSE_REFUSED)
        else:
            yield Close(CLOSE_FAILED if retryable else CLOSE_REFUSED, error.code)

    def _refusal(self, code: str, message: str, *, retryable: bool, close: int) -> Iterator[Effect]:
        if self._session is None:
            yield _bare(Refused(code=code, message=message, retryable=retryable))
        yield Close(close, code)

    def _receive(self, text: bytes, now_ms: int) -> Iterator[Effect]:
        self._heard_ms = now_ms
        if self._session is None:
            yield from self._shake_hands(text, now_ms)
        else:
            yield from self._receive_frame(text, self._session, now_ms)

    def _shake_hands(self, text: bytes, now_ms: int) -> Iterator[Effect]:
        message = _decode(_HANDSHAKE, text)
        match message:
            case Hello() if self._handshake is None:
                self._links.require_known(hive=message.hive, public_key=message.public_key)
                self._handshake = ServiceHandshake(message, identity=self._identity, random=self._random)
                yield _bare(self._handshake.challenge())
            case Proof() if self._handshake is not None:
                hive = self._handshake.verify(message)
                self._session = self._links.open(hive, address=self._address, now_ms=now_ms)
                self._channel = Channel(self._session.epoch)
                yield _bare(
                    Welcome(
                        epoch=self._session.epoch,
                        session_token=self._session.token,
                        heartbeat_s=self._links.rules.heartbeat_s,
                        lease_ttl_s=self._links.rules.lease_ttl_s,
                        now_ms=now_ms,
                    )
                )
            case _:
                raise InvalidError("this is not the next message of the handshake", code="handshake_failed")

    def _receive_frame(self, text: bytes, session: Session, now_ms: int) -> Iterator[Effect]:
        frame = _decode(_FRAME, text)
        assert self._channel is not None, "a session has a channel"
        if self._channel.receive(frame.epoch, frame.seq, frame.ack) is Delivery.REPEATED:
            return
        match frame.body:
            case Offer():
                self._links.offer(session.hive, frame.body, epoch=session.epoch, now_ms=now_ms)
                self._offered = True
                yield from self._lease(session, now_ms)
            case Reconcile():
                verdicts = self._links.reconcile(session.hive, frame.body.held, now_ms=now_ms)
                self._leased.update(verdicts.proceed)
                self._reconciled = True
                yield self._frame(verdicts)
                yield from self._lease(session, now_ms)
            case Heartbeat():
                drop = self._links.heartbeat(
                    session.hive, frame.body.held, epoch=session.epoch, now_ms=now_ms
                )
                self._leased.difference_update(drop)
                yield self._frame(Verdicts(proceed=(), drop=drop))  # also empty: it says that we are here
            case Started():
                self._links.started(session.hive, frame.body, now_ms=now_ms)
            case Declined():
                self._links.declined(session.hive, frame.body, now_ms=now_ms)
                self._leased.discard(frame.body.attempt)
        if self._channel.ack_due:
            yield self._frame(Verdicts(proceed=(), drop=()))

    def _tick(self, now_ms: int) -> Iterator[Effect]:
        session = self._session
        if session is None:
            if now_ms - self._opened_ms >= HANDSHAKE_WITHIN_MS:
                raise InvalidError("the handshake took too long", code="handshake_failed")
            return
        if now_ms - self._heard_ms >= _SILENT_MS:
            yield Close(CLOSE_FAILED, "silent")
            return
        standing = self._links.standing(session.hive, epoch=session.epoch)
        if standing.draining != self._draining:
            self._draining = standing.draining
            yield self._frame(Drain(on=self._draining))
        yield from self._cancel_moved(session)
        yield from self._lease(session, now_ms)

    def _cancel_moved(self, session: Session) -> Iterator[Effect]:
        if not self._leased:
            return
        moved = self._links.moved_attempts(session.hive, tuple(self._leased))
        self._leased.difference_update(moved.ended)
        for attempt in moved.to_cancel:
            yield self._frame(Cancel(attempt=attempt))

    def _lease(self, session: Session, now_ms: int) -> Iterator[Effect]:
        if not (self._offered and self._reconciled) or self._is_mute(now_ms):
            return
        for lease in self._links.grant(session.hive, epoch=session.epoch, now_ms=now_ms):
            self._leased.add(lease.attempt)
            yield self._frame(lease)

    def _is_mute(self, now_ms: int) -> bool:
        """Two heartbeats are missing: the link may still come back, but no work is given to it."""
        return now_ms - self._heard_ms >= 2_000 * self._links.rules.heartbeat_s

    def _frame(self, body: CoordinatorMessage) -> Send:
        assert self._channel is not None, "a session has a channel"
        seq, ack = self._channel.send()
        return Send(
            msgspec.json.encode(CoordinatorFrame(epoch=self._channel.epoch, seq=seq, ack=ack, body=body))
        )


def _bare(message: HandshakeMessage) -> Send:
    return Send(msgspec.json.encode(message))


def _decode(decoder: msgspec.json.Decoder[M], text: bytes) -> M:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"not a message of this link: {error}", code="message_malformed") from error
