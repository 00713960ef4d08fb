"""Limits per key: both or neither, corrected by what was used, and told in headers."""

from typing import Any

import pytest
from starlette.requests import Request

from hivemark.coordinator.http.problems import problem
from hivemark.coordinator.limits import limit_headers, refusal_headers
from hivemark.coordinator.ports import ApiKey
from hivemark.coordinator.service import limits as module
from hivemark.coordinator.service.limits import Allowance, Limits, Quota, RateLimited

NOW = 1_790_000_000_000


def a_key(key_id: str = "key_a", *, rpm: int | None = None, tpm: int | None = None) -> ApiKey:
    rest: Any = (0, None, None, None, True)
    return ApiKey(key_id, "acct", "k", "hm_", ("inference",), None, None, 0, rpm, tpm, *rest)


def test_a_key_without_limits_is_never_refused_and_has_no_headers() -> None:
    limits = Limits()
    for _ in range(1_000):
        assert limits.admit(a_key(), 1_000_000, now_ms=NOW) == Allowance()
    assert limit_headers(Allowance()) == {}


def test_requests_come_back_evenly() -> None:
    limits, key = Limits(), a_key(rpm=3)
    remaining = [limits.admit(key, 0, now_ms=NOW).requests for _ in range(3)]
    assert remaining == [Quota(3, 2, 20_000), Quota(3, 1, 40_000), Quota(3, 0, 60_000)]
    with pytest.raises(RateLimited) as refused:
        limits.admit(key, 0, now_ms=NOW + 1)
    assert (refused.value.code, refused.value.unit, refused.value.retry_after_ms) == (
        "rate_limited",
        "requests",
        19_999,
    )
    assert refused.value.retryable and refused.value.retry_after_s == 20
    with pytest.raises(RateLimited):
        limits.admit(key, 0, now_ms=NOW + 19_999)
    limits.admit(key, 0, now_ms=NOW + 20_000)


def test_a_refusal_by_one_limit_takes_nothing_of_the_other() -> None:
    limits, key = Limits(), a_key(rpm=10, tpm=100)
    limits.admit(key, 100, now_ms=NOW)
    with pytest.raises(RateLimited) as refused:
        limits.admit(key, 10, now_ms=NOW)
    assert (refused.value.unit, refused.value.retry_after_ms) == ("tokens", 6_000)
    assert limits.allowance(key, now_ms=NOW).requests == Quota(10, 9, 6_000)


def test_what_was_not_used_comes_back_and_what_was_is_owed() -> None:
    limits, key = Limits(), a_key(tpm=100)
    limits.admit(key, 100, now_ms=NOW)
    assert limits.charge(key, -70, now_ms=NOW).tokens == Quota(100, 70, 18_000)
    assert limits.charge(key, -70, now_ms=NOW).tokens == Quota(100, 100, 0)  # never more than a minute's
    assert limits.charge(key, 150, now_ms=NOW).tokens == Quota(100, 0, 90_000)
    with pytest.raises(RateLimited) as refused:
        limits.admit(key, 1, now_ms=NOW)
    assert refused.value.retry_after_ms == 30_600


def test_a_request_larger_than_a_minute_goes_when_nothing_else_did() -> None:
    limits, key = Limits(), a_key(tpm=100)
    assert limits.admit(key, 250, now_ms=NOW).tokens == Quota(100, 0, 150_000)
    with pytest.raises(RateLimited) as refused:
        limits.admit(key, 250, now_ms=NOW)
    assert refused.value.retry_after_ms == 150_000
    limits.admit(key, 250, now_ms=NOW + 150_000)


def test_keys_do_not_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SWEEP_FIRST", 4)
    limits = Limits()
    limits._sweep_at = 4
    limits.admit(a_key("spent", rpm=1), 0, now_ms=NOW)
    for number in range(50):
        at_ms = NOW + 30_000 + number * 60
        limits.admit(a_key(f"key_{number}", rpm=1000), 0, now_ms=at_ms)  # full again after 60 ms
    assert len(limits._buckets) <= 4
    with pytest.raises(RateLimited):
        limits.admit(a_key("spent", rpm=1), 0, now_ms=NOW + 59_999)


def test_headers_are_those_of_both_families() -> None:
    allowance = Allowance(requests=Quota(60, 59, 1_000), tokens=Quota(10_000, 0, 61_500))
    assert limit_headers(allowance) == {
        "RateLimit-Policy": '"requests";q=60;w=60, "tokens";q=10000;w=60;qu="tokens"',
        "RateLimit": '"requests";r=59;t=1, "tokens";r=0;t=62',
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m1.5s",
    }
    short = Allowance(requests=Quota(1, 0, 120))
    assert limit_headers(short)["x-ratelimit-reset-requests"] == "120ms"
    refusal = RateLimited("tokens", retry_after_ms=1_001, allowance=allowance)
    headers = refusal_headers(refusal)
    assert (headers["Retry-After"], headers["retry-after-ms"]) == ("2", "1001")
    assert limit_headers(allowance).items() <= headers.items()


def test_a_refusal_says_when_to_come_back() -> None:
    allowance = Allowance(requests=Quota(1, 0, 59_000))
    request = Request(
        {"type": "http", "path": "/api/v1/jobs", "headers": [], "state": {"request_id": "req_1"}}
    )
    answer = problem(request, RateLimited("requests", retry_after_ms=58_500, allowance=allowance))
    assert answer.status_code == 429
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("59", "58500")
    assert answer.headers["ratelimit"] == '"requests";r=0;t=59'
