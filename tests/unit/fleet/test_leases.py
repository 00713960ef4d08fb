"""Leases: how long they hold, and reconciliation after a reconnect."""

from hivemark.fleet.leases import (
    HEARTBEAT_S,
    LEASE_TTL_S,
    LINK_LOST_AFTER_S,
    SILENT_AFTER_MS,
    Held,
    Patience,
    reconcile,
)


def test_a_lease_outlives_lost_heartbeats_and_a_lost_link() -> None:
    assert LEASE_TTL_S >= 4 * HEARTBEAT_S
    assert LINK_LOST_AFTER_S < LEASE_TTL_S
    assert LINK_LOST_AFTER_S >= 3 * HEARTBEAT_S


def test_what_is_held_and_open_goes_on() -> None:
    verdict = reconcile([Held("att_a", 2, finished=False)], {"att_a": 2})
    assert (verdict.proceed, verdict.drop, verdict.lost) == (("att_a",), (), ())


def test_what_was_leased_again_is_dropped() -> None:
    verdict = reconcile([Held("att_a", 2, finished=False)], {})
    assert (verdict.proceed, verdict.drop, verdict.lost) == ((), ("att_a",), ())


def test_an_older_lease_of_an_open_attempt_is_dropped_and_the_attempt_lost() -> None:
    verdict = reconcile([Held("att_a", 2, finished=False)], {"att_a": 4})
    assert (verdict.proceed, verdict.drop, verdict.lost) == ((), ("att_a",), ("att_a",))


def test_what_is_open_and_not_held_is_lost() -> None:
    verdict = reconcile([], {"att_b": 1, "att_a": 1})
    assert verdict.lost == ("att_b", "att_a")


def test_a_waiting_receipt_is_wanted_even_when_its_lease_has_moved() -> None:
    verdict = reconcile([Held("att_a", 2, finished=True), Held("att_b", 2, finished=True)], {"att_b": 2})
    assert verdict.proceed == ("att_a", "att_b")
    assert verdict.drop == verdict.lost == ()


def over_at(patience: Patience, times_ms: list[int]) -> list[bool]:
    return [patience.is_over(now_ms) for now_ms in times_ms]


def test_a_keeper_that_has_just_started_waits_for_one_lease() -> None:
    times_ms = list(range(0, 17_000, 1_000))
    assert over_at(Patience(), times_ms) == [False] * 15 + [True] * 2


def test_a_keeper_that_was_stopped_waits_again() -> None:
    patience = Patience(ttl_ms=2_000)
    assert over_at(patience, [0, 1_000, 2_000, 3_000]) == [False, False, True, True]
    assert over_at(patience, [3_000 + SILENT_AFTER_MS]) == [True]
    back_ms = 3_000 + 2 * SILENT_AFTER_MS + 1
    assert over_at(patience, [back_ms, back_ms + 1_999, back_ms + 2_000]) == [False, False, True]


def test_a_clock_that_was_put_back_counts_as_silence() -> None:
    patience = Patience(ttl_ms=2_000)
    assert over_at(patience, [10_000, 12_000, 11_000, 12_999, 13_000]) == [False, True, False, False, True]
