"""A small world for the contract suite: one account, hives, jobs, and the shortest way to each move."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace

from hivemark.coordinator.ports import (
    AttemptRow,
    HiveModel,
    HiveRow,
    LeaseCandidate,
    NewExecution,
    NewJob,
    NewLease,
    NewLogEntry,
    Result,
    Submitted,
    TrustedKey,
)
from hivemark.coordinator.store import SqlStore
from hivemark.coordinator.store.fsck import check_database
from hivemark.jobs.lifecycle import ExecutionEvent

DIGEST = "d" * 64
GRANT_MICRO = 1_000_000
HOLD_MICRO = 1_000
FAR_MS = 10_000_000


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class World:
    """Moves by their shortest names. Every id it makes is unique in the test."""

    account = "acct_payer"
    signer = "key-of-payer"

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self._numbers = itertools.count(1)
        self.epochs: dict[str, int] = {}
        store.trust(
            TrustedKey(self.signer, self.account, "payer", "active", added_ms=1), grant_micro=GRANT_MICRO
        )
        self.add_hive("hive_a")

    def add_hive(
        self, hive: str, *, region: str | None = "EU", models: Sequence[HiveModel] | None = None
    ) -> HiveRow:
        token = digest(f"token of {hive}")
        self.store.add_join_token(token, owner="acct_owner", until_ms=FAR_MS)
        offered = (HiveModel("tiny", DIGEST, "reference", "q8_0", 512, 1_000, True),)
        row = HiveRow(
            id=hive,
            public_key=f"key of {hive}",
            name=hive,
            owner="",
            region=region,
            status="active",
            draining=False,
            enrolled_ms=1,
            epoch=0,
            session_sha256=None,
            linked=False,
            last_contact_ms=None,
            slots=2,
            devices=("cpu",),
            simulated=("region",),
            models=tuple(models) if models is not None else offered,
            address=None,
        )
        enrolled = self.store.enrol(row, token_sha256=token, now_ms=1, log=self.entry(f"enrolled {hive}"))
        self.epochs[hive] = self.store.open_session(hive, session_sha256="s", address=None, now_ms=2)
        return enrolled

    def entry(self, text: str, *, attempt: str | None = None, id_: str | None = None) -> NewLogEntry:
        leaf = text.encode()
        return NewLogEntry(id_ or f"row_{next(self._numbers)}", leaf, leaf, None, attempt)

    def new_job(self, *, cells: int = 2, **changes: object) -> NewJob:
        number = next(self._numbers)
        job_id = f"job_{number:04}"
        cell = NewExecution("", 0, 0, 0, 0, 0, 0, 0, "tiny", DIGEST, region=None, hold_micro=HOLD_MICRO)
        job = NewJob(
            id=job_id,
            account=self.account,
            signer=self.signer,
            spec_id=f"spec-{number}",
            spec_raw=b"{}",
            spec_message=b"message",
            spec_sha256=digest(job_id),
            nonce=f"nonce-{number}",
            nonce_until_ms=FAR_MS,
            idempotency_key=None,
            body_sha256=digest(f"body {number}"),
            benchmark="noop",
            visibility="public",
            min_success_rate=0.5,
            min_regions=1,
            created_ms=10,
            deadline_ms=FAR_MS,
            requester="pseudonym",
            executions=tuple(
                replace(cell, id=f"exe_{number:04}_{index:04}", question=index) for index in range(cells)
            ),
        )
        return replace(job, **changes)  # type: ignore[arg-type]  # the test names real fields

    def submit(self, *, cells: int = 2, **changes: object) -> Submitted:
        return self.store.submit(self.new_job(cells=cells, **changes))

    def offers(self, hive: str = "hive_a", *, limit: int = 10, now_ms: int = 20) -> Sequence[LeaseCandidate]:
        return self.store.candidates(hive, now_ms=now_ms, limit=limit)

    def new_lease(
        self, candidate: LeaseCandidate, hive: str = "hive_a", *, until_ms: int = 1_000
    ) -> NewLease:
        execution = candidate.execution
        return NewLease(
            attempt=f"att_{next(self._numbers):04}",
            execution=execution.id,
            execution_version=execution.version,
            hive=hive,
            epoch=self.epochs[hive],
            lease_until_ms=until_ms,
            grant_sha256=digest("grant"),
        )

    def lease(
        self, hive: str = "hive_a", *, limit: int = 10, now_ms: int = 20, until_ms: int = 1_000
    ) -> Sequence[AttemptRow]:
        """Lease whatever is offered."""
        offers = self.offers(hive, limit=limit, now_ms=now_ms)
        leases = [self.new_lease(offer, hive, until_ms=until_ms) for offer in offers]
        return self.store.lease(leases, now_ms=now_ms)

    def result(
        self,
        attempt: AttemptRow,
        event: ExecutionEvent = ExecutionEvent.SUCCEEDED,
        *,
        charge_micro: int = 300,
        now_ms: int = 100,
    ) -> Result:
        receipt = f"receipt of {attempt.id}".encode()
        return Result(
            attempt=attempt.id,
            lease_version=attempt.lease_version,
            event=event,
            now_ms=now_ms,
            receipt=receipt,
            receipt_sha256=hashlib.sha256(receipt).hexdigest(),
            disclosure=None,
            prompt_tokens=5,
            completion_tokens=7,
            charge_micro=charge_micro,
            failure=None if event is ExecutionEvent.SUCCEEDED else '{"code":"made_up"}',
            not_before_ms=now_ms,
            log=self.entry(f"entry of {attempt.id}", attempt=attempt.id, id_=attempt.id),
            log_event_body='{"state":"told by the service"}',
        )

    def finish(
        self,
        attempt: AttemptRow,
        event: ExecutionEvent = ExecutionEvent.SUCCEEDED,
        *,
        charge_micro: int = 300,
    ) -> None:
        self.store.record_result(self.result(attempt, event, charge_micro=charge_micro))

    def lose(self, attempt: AttemptRow, *, now_ms: int = 100) -> None:
        self.store.record_lost(
            attempt.id,
            lease_version=attempt.lease_version,
            now_ms=now_ms,
            not_before_ms=now_ms,
            reason="lease_expired",
            log=self.entry(f"lost {attempt.id}", attempt=attempt.id, id_=attempt.id),
        )

    def event_names(self, job: str) -> list[str]:
        return [event.name for event in self.store.events_after(job, seq=0, limit=1_000)]

    def state_of(self, execution: str) -> str:
        row = self.store.execution(execution)
        assert row is not None
        return row.state.value

    def audit(self) -> None:
        """Whatever a test did, book, cells, jobs and event streams agree."""
        assert check_database(self.store) == []
