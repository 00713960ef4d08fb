"""The simulator finds what it is there to find: each bug planted here breaks a promise in a few schedules."""

from collections.abc import Callable
from typing import Any

import pytest

from hivemark.api.link import ResultAnswer
from hivemark.coordinator.gateway.session import LinkSession
from hivemark.coordinator.loops.sequencer import Sequencer
from hivemark.coordinator.ports import AttemptRow, LogRow
from hivemark.coordinator.service.links import Links
from hivemark.coordinator.service.reaper import Reaper
from hivemark.coordinator.service.receipts import Asked
from hivemark.coordinator.service.results import Results
from hivemark.coordinator.store import moves
from hivemark.coordinator.store.store import SqlStore
from hivemark.errors import HivemarkError
from hivemark.fleet.leases import Reconciliation
from hivemark.hive.core import HiveCore
from hivemark.hive.effects import Effect, ForgetResult, PostResult
from hivemark.testing.simulator.schedule import run_schedule

SCHEDULES = 60
Patch = pytest.MonkeyPatch


def no_lease_runs_out(patch: Patch) -> None:
    patch.setattr(Reaper, "step", lambda self, now_ms: 0)


def a_cut_attempt_is_not_logged(patch: Patch) -> None:
    patch.setattr(Results, "log_cut", lambda self, *, now_ms, limit: 0)


def a_late_receipt_is_thrown_away(patch: Patch) -> None:
    patch.setattr(SqlStore, "record_late", lambda self, attempt, **_: True)


def a_late_receipt_counts(patch: Patch) -> None:
    """The compare-and-set is left out: a receipt that comes late ends the execution as if it were in time."""

    def record(
        self: Results, checked: Any, *, hive: Any, attempt: AttemptRow, job: Any, now_ms: int
    ) -> ResultAnswer:
        execution = self._store.execution(attempt.execution)
        assert execution is not None
        asked = Asked(
            network=self._identity.network,
            hive=hive,
            attempt=attempt,
            execution=execution,
            request=self._requests.effective(job, execution),
        )
        self._record(checked, asked, job=job, held=None, now_ms=now_ms)
        return ResultAnswer(attempt=attempt.id, outcome="accepted")

    patch.setattr(moves, "is_open", lambda turn, lease_version: True)
    patch.setattr(Results, "_late", record)


def the_outbox_forgets_on_posting(patch: Patch) -> None:
    post_due = HiveCore._post_due

    def post_and_forget(self: HiveCore, mono_ms: int) -> list[Effect]:
        due = post_due(self, mono_ms)
        posted = [effect.attempt for effect in due if isinstance(effect, PostResult)]
        for attempt in posted:
            self._results.remove(attempt)
        return [*due, *(ForgetResult(attempt) for attempt in posted)]

    patch.setattr(HiveCore, "_post_due", post_and_forget)


def a_refusal_is_for_good(patch: Patch) -> None:
    """A handshake that took too long once ended a hive for ever (a slow network is enough)."""
    refusal = LinkSession._refusal

    def for_good(self: LinkSession, code: str, message: str, *, retryable: bool, close: int) -> Any:
        return refusal(self, code, message, retryable=False, close=close)

    patch.setattr(LinkSession, "_refusal", for_good)


def a_new_leader_forgets_what_was_assigned(patch: Patch) -> None:
    """Rows that had an index before a crash, and no checkpoint yet, are never integrated."""
    next_batch = Sequencer._next_batch

    def only_new_ones(self: Sequencer, edge: Any, epoch: int) -> Any:
        self._assigned_size = edge.size
        return next_batch(self, edge, epoch)

    patch.setattr(Sequencer, "_next_batch", only_new_ones)


def entries_change_places_until_they_are_published(patch: Patch) -> None:
    """What was assigned an index is read back in another order."""
    read = SqlStore.log_rows

    def turned(self: SqlStore, *, start: int, end: int) -> list[LogRow]:
        rows = list(read(self, start=start, end=end))
        leaves = [row.leaf for row in reversed(rows)]
        return [
            LogRow(row.id, row.index, leaf, row.entry, row.salt, row.attempt)
            for row, leaf in zip(rows, leaves, strict=True)
        ]

    patch.setattr(SqlStore, "log_rows", turned)


def what_a_hive_lost_is_held_for_it(patch: Patch) -> None:
    """Heartbeats renew whatever the coordinator believes that the hive runs."""

    def renew_all(self: Links, hive: str, held: Any, *, epoch: int, now_ms: int) -> tuple[str, ...]:
        mine = [(attempt.id, attempt.lease_version) for attempt in self._store.open_attempts(hive)]
        until_ms = now_ms + int(self.rules.lease_ttl_s * 1000)
        self._store.renew(hive, epoch=epoch, held=mine, lease_until_ms=until_ms)
        return ()

    patch.setattr(Links, "heartbeat", renew_all)
    module = "hivemark.coordinator.service.links.reconcile"
    patch.setattr(module, lambda held, open_attempts: Reconciliation((), (), ()))


def a_lost_answer_makes_a_second_job(patch: Patch) -> None:
    patch.setattr(SqlStore, "replayed", lambda self, **_: None)


def nothing_is_given_back(patch: Patch) -> None:
    """What was held for cells that ended without a result stays in escrow."""
    patch.setattr("hivemark.coordinator.store.jobs._void", lambda *_, **__: None)


@pytest.mark.parametrize(
    "plant",
    [
        no_lease_runs_out,
        a_cut_attempt_is_not_logged,
        a_late_receipt_is_thrown_away,
        a_late_receipt_counts,
        the_outbox_forgets_on_posting,
        a_refusal_is_for_good,
        a_new_leader_forgets_what_was_assigned,
        entries_change_places_until_they_are_published,
        what_a_hive_lost_is_held_for_it,
        a_lost_answer_makes_a_second_job,
        nothing_is_given_back,
    ],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_bug_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    assert any(_is_found(seed) for seed in range(SCHEDULES)), f"{SCHEDULES} schedules did not notice"


def _is_found(seed: int) -> bool:
    """A bug may break a promise at the end, or one of our own assertions or constraints on the way."""
    try:
        outcome = run_schedule(seed)
    except (AssertionError, HivemarkError) as error:
        print(f"schedule {seed}: {error!r}")
        return True
    print(f"schedule {seed}: {outcome.problems}")
    return bool(outcome.problems)
