"""The coordinator's own statements: acceptances and enrolments, each as a row for the log queue."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from hivemark.coordinator.ports import AttemptRow, HiveRow, JobHead, NewLogEntry
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.protocol.acceptance import (
    Acceptance,
    AcceptedTimes,
    Delivered,
    RegionEvidence,
    SpecRef,
    sign_acceptance,
)
from hivemark.protocol.commitment import SALT_BYTES
from hivemark.protocol.enrolment import Enrolment, sign_enrolment
from hivemark.protocol.entry import encode_attempt, encode_enrolled, encode_private
from hivemark.protocol.ids import new_id
from hivemark.protocol.keys import PublicKey
from hivemark.protocol.receipt import ClaimedRegion, HiveRef, Usage
from hivemark.protocol.times import format_ms

Outcome = Literal["accepted", "late", "lost", "cut", "no_receipt"]

REGION_NOT_STATED: Final = "not stated"
"""Why `region.claimed` of a hive without a region is null; both sides say it in these words."""

_NO_EVIDENCE: Final = {
    "region.observed": "no address database is installed",
    "region.method": "the claim was not measured",
    "region.evidence": "the claim was not measured",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What reached the coordinator: with a receipt, or of a call that was cut off before one came."""

    receipt: bytes | None
    receipt_sha256: str | None
    delivered: Delivered | None
    usage: Usage | None


class Statements:
    """Signs with the service key; every entry of the log that concerns an attempt or a hive is made here."""

    def __init__(self, *, identity: Identity, random: Random) -> None:
        self._identity = identity
        self._random = random

    def attempt(
        self,
        *,
        job: JobHead,
        attempt: AttemptRow,
        hive: HiveRow,
        outcome: Outcome,
        seen: Seen | None,
        now_ms: int,
    ) -> NewLogEntry:
        """The entry of one attempt; `seen` is None when no receipt came, or none that verifies."""
        acceptance = Acceptance(
            network=self._identity.network,
            job=job.id,
            execution=attempt.execution,
            attempt=attempt.id,
            number=attempt.number,
            spec=SpecRef(
                sha256=job.spec_sha256,
                received_sha256=hashlib.sha256(job.spec_raw).hexdigest(),
                received_at=format_ms(job.created_ms),
            ),
            requester=job.requester,
            grant_sha256=attempt.grant_sha256,
            hive=HiveRef(id=hive.id, public_key=hive.public_key),
            times=AcceptedTimes(
                queued=format_ms(attempt.queued_ms),
                leased=format_ms(attempt.leased_ms),
                finished=format_ms(now_ms),
            ),
            region=_region(hive),
            delivered=seen.delivered if seen else None,
            usage=seen.usage if seen else None,
            outcome=outcome,
            receipt_sha256=seen.receipt_sha256 if seen else None,
            absent=_absent(seen, hive),
        )
        envelope = sign_acceptance(acceptance, self._identity.service_key)
        entry = encode_attempt(envelope, seen.receipt if seen else None)
        return self._row(entry, attempt=attempt.id, private=job.visibility == "private", now_ms=now_ms)

    def hive(self, hive: HiveRow, *, event: Literal["enrolled", "revoked"], now_ms: int) -> NewLogEntry:
        """The entry that a hive joined or was revoked."""
        enrolment = Enrolment(
            network=self._identity.network,
            event=event,
            hive=HiveRef.of(PublicKey.from_base64(hive.public_key)),
            at=format_ms(now_ms),
            region=ClaimedRegion(claimed=hive.region),
            absent=_no_region(hive),
        )
        entry = encode_enrolled(sign_enrolment(enrolment, self._identity.service_key))
        return self._row(entry, attempt=None, private=False, now_ms=now_ms)

    def _row(self, entry: bytes, *, attempt: str | None, private: bool, now_ms: int) -> NewLogEntry:
        salt = self._random(SALT_BYTES) if private else None
        return NewLogEntry(
            id=new_id("log", now_ms=now_ms, random=self._random),
            leaf=entry if salt is None else encode_private(salt, entry),
            entry=entry,
            salt=salt,
            attempt=attempt,
        )


def _region(hive: HiveRow) -> RegionEvidence:
    """Design §7: nothing beyond the claim is measured here, so nothing beyond it is said."""
    return RegionEvidence(
        claimed=hive.region,
        observed=None,
        verified=False,
        level="claimed",
        method=None,
        evidence=None,
    )


def _no_region(hive: HiveRow) -> dict[str, str]:
    return {} if hive.region else {"region.claimed": REGION_NOT_STATED}


def _absent(seen: Seen | None, hive: HiveRow) -> dict[str, str]:
    absent = _NO_EVIDENCE | _no_region(hive)
    has_receipt = seen is not None and seen.receipt is not None
    if not has_receipt:
        absent["receipt_sha256"] = "no receipt that verifies arrived for this lease"
    if seen is None or seen.delivered is None:
        absent["delivered"] = (
            "the attempt failed without output"
            if has_receipt
            else "no output arrived with a receipt that verifies"
        )
    if seen is None or seen.usage is None:
        absent["usage"] = (
            "the engine reports no usage"
            if has_receipt
            else "no usage was reported in a receipt that verifies"
        )
    return absent
