"""Leases: how long they hold, and reconciliation after a reconnect."""

from hivemark.fleet.leases import (
    HEARTBEAT_S,
    LEASE_TTL_S,
    LINK_LOST_AFTER_S,
    Held,
    is_expired,
    lease_until_ms,
    reconcile,
)


def test_a_lease_outlives_lost_heartbeats_and_a_lost_link() -> None:
    assert LEASE_TTL_S >= 4 * HEARTBEAT_S
    assert LINK_LOST_AFTER_S < LEASE_TTL_S
    assert LINK_LOST_AFTER_S >= 3 * HEARTBEAT_S


def test_a_lease_ends_at_its_millisecond() -> None:
    until = lease_until_ms(1_000)
    assert until == 1_000 + LEASE_TTL_S * 1_000
    assert not is_expired(until, until - 1)
    assert is_expired(until, until)


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
