"""What a linked hive's messages do: sessions, offers, leases held, given back and lost."""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from hivemark.api.link import Declined, HeldAttempt, Lease, Offer, OfferedModel, Started, Verdicts
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.ports import (
    AttemptRow,
    HiveModel,
    HiveRow,
    HiveStore,
    JobStore,
    LeaseStore,
    StateMoved,
)
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.access import token_sha256
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Random
from hivemark.coordinator.service.lease import LeaseRules, Leasing
from hivemark.coordinator.service.offers import require_offer
from hivemark.coordinator.service.reaper import Reaper
from hivemark.errors import ForbiddenError, InvalidError, NotFoundError, UnauthenticatedError
from hivemark.fleet.leases import Held, reconcile
from hivemark.protocol.ids import hive_id
from hivemark.protocol.keys import PublicKey

_SESSION_BYTES: Final = 32


class LinkStores(JobStore, LeaseStore, HiveStore, Protocol):
    """The ports of links."""


@dataclass(frozen=True, slots=True)
class Session:
    """One epoch of one hive; the token authorises its result posts."""

    hive: str
    epoch: int
    token: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Attempts that are no longer open; `to_cancel` are those whose receipt was not what ended them."""

    ended: tuple[str, ...]
    to_cancel: tuple[str, ...]


class Links:
    """Calls carry hive and epoch; one of an epoch that is over raises `StateMoved`."""

    def __init__(
        self,
        *,
        store: LinkStores,
        leasing: Leasing,
        reaper: Reaper,
        rules: LeaseRules,
        regions: tuple[str, ...],
        random: Random,
        hints: Hints,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._leasing = leasing
        self._reaper = reaper
        self.rules = rules
        self._regions = regions
        self._random = random
        self._hints = hints
        self._metrics = metrics

    def require_known(self, *, hive: str, public_key: str) -> HiveRow:
        """The enrolled hive that this id and key belong to; raises `unknown_hive` or `revoked`."""
        key = PublicKey.from_base64(public_key, field="public_key")
        row = self._store.hive(hive)
        if row is None or hive != hive_id(key.raw) or row.public_key != key.base64:
            raise NotFoundError(
                "this hive is not enrolled here", code="unknown_hive", hint="join with a new join link"
            )
        if row.status != "active":
            raise ForbiddenError("this hive was revoked", code="revoked")
        return row

    def open(self, hive: str, *, address: str | None, now_ms: int) -> Session:
        """Begin the next epoch; every older one ends with it."""
        token = base64.urlsafe_b64encode(self._random(_SESSION_BYTES)).decode("ascii").rstrip("=")
        epoch = self._store.open_session(
            hive, session_sha256=token_sha256(token), address=address, now_ms=now_ms
        )
        return Session(hive=hive, epoch=epoch, token=token)

    def close(self, hive: str, *, epoch: int, now_ms: int) -> None:
        """The link of this epoch is gone; leases go on until they run out."""
        self._store.close_session(hive, epoch=epoch, now_ms=now_ms)

    def require_session(self, *, hive: str, epoch: int, token: str) -> HiveRow:
        """The hive whose current session this is: what a result post shows."""
        row = self._store.hive(hive)
        if row is None or row.session_sha256 is None:
            raise UnauthenticatedError("there is no such session", code="session_unknown")
        if row.status != "active":
            raise ForbiddenError("this hive was revoked", code="revoked")
        if row.epoch != epoch:
            raise UnauthenticatedError(
                f"epoch {epoch} is over, {row.epoch} is the current one",
                code="epoch_stale",
                hint="link again and post with the new session",
            )
        if not hmac.compare_digest(row.session_sha256.encode(), token_sha256(token).encode()):
            raise UnauthenticatedError("this is not the session's token", code="session_unknown")
        return row

    def offer(self, hive: str, message: Offer, *, epoch: int, now_ms: int) -> None:
        """Replace what the hive offers; a region that does not exist here is refused."""
        if message.region is not None and message.region not in self._regions:
            raise InvalidError(
                f"there is no region {message.region!r}", code="unknown_region", field="region"
            )
        require_offer(message)
        self._store.offer(
            hive,
            epoch=epoch,
            name=message.name,
            region=message.region,
            slots=message.slots,
            models=[_model(model) for model in message.models],
            devices=message.devices,
            simulated=message.simulated,
            now_ms=now_ms,
        )

    def reconcile(self, hive: str, held: Sequence[HeldAttempt], *, now_ms: int) -> Verdicts:
        """What a hive that has come back goes on with; what it should hold and does not is lost."""
        open_attempts = {attempt.id: attempt for attempt in self._store.open_attempts(hive)}
        verdict = reconcile(
            [Held(one.attempt, one.lease_version, one.finished) for one in held],
            {attempt.id: attempt.lease_version for attempt in open_attempts.values()},
        )
        for attempt_id in verdict.lost:
            self._reaper.end_lost(open_attempts[attempt_id], reason="hive_lost_it", now_ms=now_ms)
        return Verdicts(proceed=verdict.proceed, drop=verdict.drop)

    def heartbeat(
        self, hive: str, held: Sequence[HeldAttempt], *, epoch: int, now_ms: int
    ) -> tuple[str, ...]:
        """Renew what is held; answers the running attempts whose lease has moved: the hive drops them."""
        self._store.contact(hive, epoch=epoch, now_ms=now_ms)
        if not held:
            return ()
        standing = set(
            self._store.renew(
                hive,
                epoch=epoch,
                held=[(one.attempt, one.lease_version) for one in held],
                lease_until_ms=now_ms + int(self.rules.lease_ttl_s * 1000),
            )
        )
        return tuple(one.attempt for one in held if not one.finished and one.attempt not in standing)

    def started(self, hive: str, message: Started, *, now_ms: int) -> bool:
        """leased → running; False when the lease has moved."""
        attempt = self._own(hive, message.attempt)
        moved = attempt is not None and self._store.start(
            attempt.id, lease_version=message.lease_version, now_ms=now_ms
        )
        if attempt is not None and moved:
            self._hints.notify(hints.of_job(attempt.job))
        return moved

    def declined(self, hive: str, message: Declined, *, now_ms: int) -> bool:
        """The hive gives a lease back; the execution is queued again."""
        attempt = self._own(hive, message.attempt)
        if attempt is None or attempt.outcome is not None or attempt.lease_version != message.lease_version:
            return False
        self._metrics.leases_declined.inc()
        return self._reaper.end_lost(attempt, reason=f"declined_{message.code}"[:64], now_ms=now_ms)

    def grant(self, hive: str, *, epoch: int, now_ms: int) -> tuple[Lease, ...]:
        """Leases for the free slots of this epoch."""
        row = self._store.hive(hive)
        if row is None or row.epoch != epoch:
            return ()
        return self._leasing.grant(row, now_ms=now_ms)

    def moved_attempts(self, hive: str, known: Sequence[str]) -> Moved:
        """Which of these attempts are no longer open, and which of those the hive should stop."""
        still_open = {attempt.id for attempt in self._store.open_attempts(hive)}
        ended = tuple(attempt for attempt in known if attempt not in still_open)
        rows = self._store.attempts_of(ended) if ended else ()
        to_cancel = tuple(row.id for row in rows if row.outcome != "accepted")
        return Moved(ended=ended, to_cancel=to_cancel)

    def standing(self, hive: str, *, epoch: int) -> HiveRow:
        """The hive while it may stay linked under this epoch; raises `revoked` or `epoch_stale`."""
        row = self._store.hive(hive)
        if row is None or row.status != "active":
            raise ForbiddenError("this hive was revoked", code="revoked")
        if row.epoch != epoch:
            raise StateMoved(f"epoch {row.epoch} has begun", code="epoch_stale")
        return row

    def _own(self, hive: str, attempt_id: str) -> AttemptRow | None:
        attempt = self._store.attempt(attempt_id)
        return attempt if attempt is not None and attempt.hive == hive else None


def _model(model: OfferedModel) -> HiveModel:
    return HiveModel(
        name=model.name,
        weights_sha256=model.weights_sha256,
        engine=model.engine,
        quantisation=model.quantisation,
        context_tokens=model.context_tokens,
        bytes=model.bytes,
        loaded=model.loaded,
    )
