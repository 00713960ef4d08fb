"""A limit holds over every stretch of time, and loses nothing to rounding."""

from hypothesis import given
from hypothesis import strategies as st

from hivemark.fleet.rates import MINUTE_MS, full_bucket

STEPS = st.lists(
    st.tuples(st.integers(0, 30_000), st.integers(0, 40)),  # ms since the step before, amount asked
    max_size=40,
)


@given(per_minute=st.integers(1, 50), steps=STEPS)
def test_no_stretch_of_time_sees_more_than_the_limit(per_minute: int, steps: list[tuple[int, int]]) -> None:
    bucket, now_ms = full_bucket(per_minute, now_ms=0), 0
    taken: list[tuple[int, int]] = []
    for elapsed_ms, asked in steps:
        now_ms += elapsed_ms
        amount = min(asked, per_minute)
        bucket = bucket.filled(now_ms)
        if bucket.wait_ms(amount) == 0:
            bucket = bucket.taken(amount)
            taken.append((now_ms, amount))
    for first, (from_ms, _) in enumerate(taken):
        total = 0
        for until_ms, amount in taken[first:]:
            total += amount
            assert total * MINUTE_MS <= per_minute * (MINUTE_MS + until_ms - from_ms)


@given(per_minute=st.integers(1, 10_000), taken=st.integers(0, 30_000), asked=st.integers(1, 30_000))
def test_who_waits_as_told_is_let_in_and_no_earlier(per_minute: int, taken: int, asked: int) -> None:
    bucket = full_bucket(per_minute, now_ms=0).taken(taken)
    wait_ms = bucket.wait_ms(asked)
    assert bucket.filled(wait_ms).wait_ms(asked) == 0
    if wait_ms:
        assert bucket.filled(wait_ms - 1).wait_ms(asked) > 0
    assert bucket.filled(bucket.reset_ms).remaining == per_minute


@given(at_ms=st.integers(-10_000_000, 10_000_000))
def test_a_clock_that_jumps_gives_at_most_one_minute_and_takes_none(at_ms: int) -> None:
    bucket = full_bucket(60, now_ms=0).taken(60).filled(at_ms)
    assert 0 <= bucket.remaining <= 60
    assert bucket.filled(bucket.at_ms + MINUTE_MS).remaining == 60
