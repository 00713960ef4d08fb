"""T2: queued executions for a hive with free slots, each with a signed grant."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from hivemark.api.link import RESULT_PATH, Lease
from hivemark.api.stream import STREAM_PATH
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.ports import (
    AttemptRow,
    HiveRow,
    HiveStore,
    JobHead,
    JobStore,
    LeaseCandidate,
    LeaseStore,
    NewLease,
)
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.coordinator.service.requests import Requests
from hivemark.fleet.placement import Candidate, Provider, choose, is_eligible
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.grant import Grant, GrantedModel, SignedGrant, sign_grant
from hivemark.protocol.ids import ATTEMPT, new_id
from hivemark.protocol.strictjson import JsonObject
from hivemark.protocol.times import format_ms

CANDIDATES_PER_SLOT: Final = 4
CANDIDATES_MAX: Final = 256


class LeasingStores(JobStore, LeaseStore, HiveStore, Protocol):
    """The ports of leasing."""


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """How long a lease holds, and how long an engine may be silent; seconds."""

    lease_ttl_s: float
    heartbeat_s: float
    first_token_timeout_s: float
    stall_timeout_s: float


@dataclass(frozen=True, slots=True)
class _Offer:
    candidate: LeaseCandidate
    lease: NewLease
    signed: SignedGrant
    request: JsonObject


class Leasing:
    """Chooses, signs and moves; what another hive won in between is left out."""

    def __init__(
        self,
        *,
        store: LeasingStores,
        requests: Requests,
        identity: Identity,
        rules: LeaseRules,
        random: Random,
        hints: Hints,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._requests = requests
        self._identity = identity
        self._rules = rules
        self._random = random
        self._hints = hints
        self._metrics = metrics

    def grant(self, hive: HiveRow, *, now_ms: int) -> tuple[Lease, ...]:
        """Leases for every free slot of this hive; raises `StateMoved` when its epoch is old."""
        if hive.draining or hive.status != "active":
            return ()
        free_slots = hive.slots - len(self._store.open_attempts(hive.id))
        if free_slots <= 0:
            return ()
        limit = min(free_slots * CANDIDATES_PER_SLOT, CANDIDATES_MAX)
        found = {
            row.execution.id: row
            for row in self._store.candidates(hive.id, now_ms=now_ms, limit=limit)
            if self._requests.is_leasable(row.job, row.execution.id)
        }
        candidates = [self._candidate(row) for row in found.values()]
        elsewhere = self._better_elsewhere(hive, candidates, found)
        chosen = choose(
            (one for one in candidates if one.execution not in elsewhere),
            _provider(hive),
            free_slots=free_slots,
            now_ms=now_ms,
        )
        if not chosen:
            return ()
        offers = {}
        for one in chosen:
            offer = self._offer(found[one.execution], hive, now_ms)
            offers[offer.lease.attempt] = offer
        won = self._store.lease([offer.lease for offer in offers.values()], now_ms=now_ms)
        self._metrics.leases_granted.inc(len(won))
        for job in {attempt.job for attempt in won}:
            self._hints.notify(hints.of_job(job))
        return tuple(self._message(offers[attempt.id], attempt) for attempt in won)

    def _better_elsewhere(
        self, hive: HiveRow, candidates: list[Candidate], rows: Mapping[str, LeaseCandidate]
    ) -> frozenset[str]:
        """Executions whose last attempt this very hive ended without success, while another could take them.

        Otherwise one bad hive would use up all attempts of whatever it touches.
        """
        tried = [rows[one.execution].execution.attempt for one in candidates]
        last = [attempt for attempt in tried if attempt is not None]
        ended_here = (
            {one.execution for one in self._store.attempts_of(last) if one.hive == hive.id} if last else ()
        )
        if not ended_here:
            return frozenset()
        others = [
            _provider(other)
            for other in self._store.hives()
            if other.id != hive.id and other.linked and other.status == "active" and other.slots > 0
        ]
        return frozenset(
            one.execution
            for one in candidates
            if one.execution in ended_here
            and any(not other.draining and is_eligible(one, other) for other in others)
        )

    def _candidate(self, row: LeaseCandidate) -> Candidate:
        providers = self._requests.spec(row.job).constraints.providers
        return Candidate(
            execution=row.execution.id,
            job=row.job.id,
            job_created_ms=row.job.created_ms,
            ordinal=row.execution.ordinal,
            not_before_ms=row.execution.not_before_ms,
            model_name=row.execution.model_name,
            weights_sha256=row.execution.weights_sha256,
            region=row.execution.region,
            providers_allow=frozenset(providers.allow),
            providers_deny=frozenset(providers.deny),
            is_waited_for=row.job.held_by is not None,
        )

    def _offer(self, candidate: LeaseCandidate, hive: HiveRow, now_ms: int) -> _Offer:
        execution, job = candidate.execution, candidate.job
        request = self._requests.effective(job, execution)
        seed = request["seed"]
        assert isinstance(seed, int)
        attempt = new_id(ATTEMPT, now_ms=now_ms, random=self._random)
        until_ms = now_ms + int(self._rules.lease_ttl_s * 1000)
        model = (
            None
            if execution.model_name is None
            else GrantedModel(name=execution.model_name, weights_sha256=execution.weights_sha256)
        )
        grant = Grant(
            network=self._identity.network,
            job=job.id,
            execution=execution.id,
            attempt=attempt,
            lease_version=execution.version + 1,
            hive=hive.id,
            model=model,
            spec_sha256=job.spec_sha256,
            request_sha256=hashlib.sha256(encode_canonical(request)).hexdigest(),
            seed=seed,
            expires=format_ms(job.deadline_ms),
            nonce=encode_base64(self._random(32)),
        )
        signed = sign_grant(grant, self._identity.service_key)
        lease = NewLease(
            attempt=attempt,
            execution=execution.id,
            execution_version=execution.version,
            hive=hive.id,
            epoch=hive.epoch,
            lease_until_ms=until_ms,
            grant_sha256=signed.grant_sha256,
        )
        return _Offer(candidate=candidate, lease=lease, signed=signed, request=request)

    def _message(self, offer: _Offer, attempt: AttemptRow) -> Lease:
        assert attempt.lease_version == offer.signed.grant.lease_version, (
            "the grant names the lease it is for"
        )
        value = offer.signed.to_json()
        grant = value["grant"]
        assert isinstance(grant, dict)
        return Lease(
            job=attempt.job,
            execution=attempt.execution,
            attempt=attempt.id,
            lease_version=attempt.lease_version,
            lease_until_ms=attempt.lease_until_ms,
            grant=grant,
            grant_signature=offer.signed.signature,
            request=offer.request,
            result_url=RESULT_PATH.format(attempt=attempt.id),
            first_token_timeout_s=self._rules.first_token_timeout_s,
            stall_timeout_s=self._rules.stall_timeout_s,
            run_timeout_s=self._run_timeout_s(offer.candidate.job, attempt),
            stream_url=STREAM_PATH.format(attempt=attempt.id) if offer.candidate.job.held_by else None,
        )

    def _run_timeout_s(self, job: JobHead, attempt: AttemptRow) -> float:
        """The provider's time-out, but never beyond the job's deadline."""
        left_s = (job.deadline_ms - attempt.leased_ms) / 1000
        return max(0.001, min(self._requests.spec(job).constraints.provider_timeout_s, left_s))


def _provider(hive: HiveRow) -> Provider:
    return Provider(
        hive=hive.id,
        region=hive.region,
        draining=hive.draining,
        digests=frozenset(m.weights_sha256 for m in hive.models if m.weights_sha256 is not None),
        unpinned=frozenset(m.name for m in hive.models if m.weights_sha256 is None),
    )
