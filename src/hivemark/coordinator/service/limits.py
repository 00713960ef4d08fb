"""Requests and tokens per minute of each API key, kept in this process."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from hivemark.coordinator.ports import ApiKey
from hivemark.errors import OverLimitError
from hivemark.fleet.rates import Bucket, full_bucket

Unit: TypeAlias = Literal["requests", "tokens"]
UNITS: Final[tuple[Unit, ...]] = ("requests", "tokens")
_SWEEP_FIRST: Final = 1_024


@dataclass(frozen=True, slots=True)
class Quota:
    """Where one limit stands: of `limit` per minute `remaining` are left, all of them again in `reset_ms`."""

    limit: int
    remaining: int
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of a key; None where it has none."""

    requests: Quota | None = None
    tokens: Quota | None = None


class RateLimited(OverLimitError):
    """This API key has used up what it may in a minute."""

    def __init__(self, unit: Unit, *, retry_after_ms: int, allowance: Allowance) -> None:
        quota = allowance.requests if unit == "requests" else allowance.tokens
        assert quota is not None, "only a limit refuses"
        super().__init__(
            f"this API key may use {quota.limit} {unit} a minute, {quota.remaining} are left",
            code="rate_limited",
            hint=f"try again in {retry_after_ms / 1000:.3g} s",
        )
        self.unit: Unit = unit
        self.retry_after_ms = retry_after_ms
        self.allowance = allowance

    @property
    def retry_after_s(self) -> int:
        """Whole seconds, rounded up."""
        return max(1, -(-self.retry_after_ms // 1000))


_Buckets: TypeAlias = Mapping[Unit, Bucket]
_NONE: Final[_Buckets] = MappingProxyType({})


class Limits:
    """A bucket per key and unit. Buckets that are full again are forgotten, which loses nothing."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Buckets] = {}
        self._sweep_at = _SWEEP_FIRST
        self._lock = threading.Lock()

    def admit(self, key: ApiKey, tokens: int, *, now_ms: int) -> Allowance:
        """Take one request and the `tokens` it may use, or nothing; raises `RateLimited`."""
        assert tokens >= 0, f"not a number of tokens: {tokens}"
        asked: dict[Unit, int] = {"requests": 1, "tokens": tokens}
        with self._lock:
            buckets = self._filled(key, now_ms)
            waits = {unit: bucket.wait_ms(asked[unit]) for unit, bucket in buckets.items()}
            longest = max(waits, key=lambda unit: waits[unit], default=None)
            if longest is not None and waits[longest] > 0:
                raise RateLimited(longest, retry_after_ms=waits[longest], allowance=_allowance(buckets))
            return self._keep(key, {unit: bucket.taken(asked[unit]) for unit, bucket in buckets.items()})

    def charge(self, key: ApiKey, tokens: int, *, now_ms: int) -> Allowance:
        """Correct what `admit` took once the usage is known: `tokens` more, or fewer when negative."""
        with self._lock:
            buckets = dict(self._filled(key, now_ms))
            if "tokens" in buckets:
                buckets["tokens"] = buckets["tokens"].taken(tokens)
            return self._keep(key, buckets)

    def allowance(self, key: ApiKey, *, now_ms: int) -> Allowance:
        """Where the key stands; takes nothing."""
        with self._lock:
            return _allowance(self._filled(key, now_ms))

    def _filled(self, key: ApiKey, now_ms: int) -> _Buckets:
        known = self._buckets.get(key.id, _NONE)
        limits: dict[Unit, int | None] = {
            "requests": key.requests_per_minute,
            "tokens": key.tokens_per_minute,
        }
        return {
            unit: known[unit].filled(now_ms) if unit in known else full_bucket(limit, now_ms=now_ms)
            for unit, limit in limits.items()
            if limit is not None
        }

    def _keep(self, key: ApiKey, buckets: _Buckets) -> Allowance:
        if buckets:
            self._buckets[key.id] = buckets
            now_ms = max(bucket.at_ms for bucket in buckets.values())
            if len(self._buckets) >= self._sweep_at:
                self._sweep(now_ms)
        return _allowance(buckets)

    def _sweep(self, now_ms: int) -> None:
        self._buckets = {
            key: buckets
            for key, buckets in self._buckets.items()
            if any(bucket.filled(now_ms).reset_ms > 0 for bucket in buckets.values())
        }
        self._sweep_at = max(_SWEEP_FIRST, 2 * len(self._buckets))


def _allowance(buckets: _Buckets) -> Allowance:
    quotas = {
        unit: Quota(bucket.per_minute, bucket.remaining, bucket.reset_ms) for unit, bucket in buckets.items()
    }
    return Allowance(requests=quotas.get("requests"), tokens=quotas.get("tokens"))
