"""Waits between attempts."""

from hivemark.jobs.backoff import FIRST_WAIT_MS, WAIT_MAX_MS, not_before_ms


def test_waits_grow_and_are_capped() -> None:
    waits = [not_before_ms(attempts, 1_000) - 1_000 for attempts in range(1, 8)]
    assert waits[:3] == [500, 2_000, 8_000]
    assert waits[0] == FIRST_WAIT_MS
    assert waits == sorted(waits)
    assert waits[-1] == WAIT_MAX_MS
