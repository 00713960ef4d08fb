"""Machines of the network: how they join, what they offer, and how they are shut out."""

import base64
from collections.abc import Sequence
from typing import Protocol

from hivemark.api.handshake import verify_enrol
from hivemark.api.link import Enrol, Enrolled
from hivemark.coordinator.ports import HiveRow, HiveStore, LeaseStore
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.access import token_sha256
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.coordinator.service.offers import require_label
from hivemark.coordinator.service.statements import Statements
from hivemark.errors import InvalidError, NotFoundError
from hivemark.protocol.ids import hive_id
from hivemark.protocol.keys import PublicKey

_TOKEN_BYTES = 32


class EnrolmentStores(HiveStore, LeaseStore, Protocol):
    """The ports of enrolment and of what people read about hives."""


class Hives:
    """Join tokens, enrolment, revocation; the link itself is `links`."""

    def __init__(
        self,
        *,
        store: EnrolmentStores,
        statements: Statements,
        identity: Identity,
        regions: tuple[str, ...],
        random: Random,
        hints: Hints,
    ) -> None:
        self._store = store
        self._statements = statements
        self._identity = identity
        self._regions = regions
        self._random = random
        self._hints = hints

    def make_join_token(self, *, owner: str, ttl_s: float, now_ms: int) -> tuple[str, int]:
        """A fresh one-off token and the time it ends; only its digest is kept."""
        token = base64.urlsafe_b64encode(self._random(_TOKEN_BYTES)).decode("ascii").rstrip("=")
        until_ms = now_ms + int(ttl_s * 1000)
        self._store.add_join_token(token_sha256(token), owner=owner, until_ms=until_ms)
        return token, until_ms

    def enrol(self, message: Enrol, *, address: str | None, now_ms: int) -> Enrolled:
        """Spec/link 1: spend the token, keep the key, log the enrolment."""
        key = PublicKey.from_base64(message.public_key, field="public_key")
        if message.hive != hive_id(key.raw):
            raise InvalidError("this id is not the key's", code="hive_id_mismatch", field="hive")
        verify_enrol(message)
        self._require_fields(message)
        hive = HiveRow(
            id=message.hive,
            public_key=key.base64,
            name=message.name,
            owner=self._identity.operator,
            region=message.region,
            status="active",
            draining=False,
            enrolled_ms=now_ms,
            epoch=0,
            session_sha256=None,
            linked=False,
            last_contact_ms=None,
            slots=0,
            devices=(),
            simulated=(),
            models=(),
            address=address,
        )
        entry = self._statements.hive(hive, event="enrolled", now_ms=now_ms)
        self._store.enrol(hive, token_sha256=token_sha256(message.token), now_ms=now_ms, log=entry)
        self._hints.notify(hints.LOG)
        return Enrolled(
            hive=hive.id,
            network=self._identity.network,
            service_key=self._identity.service_key.public.base64,
            policy=self._identity.policy,
        )

    def _require_fields(self, message: Enrol) -> None:
        if message.region is not None and message.region not in self._regions:
            raise InvalidError(
                f"there is no region {message.region!r}",
                code="unknown_region",
                field="region",
                hint=f"the regions are {', '.join(self._regions)}",
            )
        require_label(message.name, "name")

    def revoke(self, hive_id: str, *, now_ms: int) -> HiveRow:
        """Shut a hive out for good; its leases run out, its enrolment's end is logged."""
        hive = self.get(hive_id)
        if hive.status == "active":
            entry = self._statements.hive(hive, event="revoked", now_ms=now_ms)
            self._store.revoke_hive(hive.id, now_ms=now_ms, log=entry)
            self._hints.notify(hints.LOG)
            self._hints.notify(hints.of_hive(hive.id))
        return self.get(hive_id)

    def set_draining(self, hive_id: str, on: bool) -> HiveRow:
        """Give a hive no more leases, or leases again."""
        self._store.set_draining(self.get(hive_id).id, on)
        self._hints.notify(hints.of_hive(hive_id))
        return self.get(hive_id)

    def get(self, hive_id: str) -> HiveRow:
        """One hive; raises `NotFoundError`."""
        hive = self._store.hive(hive_id)
        if hive is None:
            raise NotFoundError("there is no such hive", code="unknown_hive")
        return hive

    def running(self, hive_id: str) -> int:
        """How many leases the hive holds."""
        return len(self._store.open_attempts(hive_id))

    def all(self) -> Sequence[HiveRow]:
        """Every hive that ever joined, revoked ones included."""
        return self._store.hives()
