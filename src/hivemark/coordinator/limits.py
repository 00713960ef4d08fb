"""An API key's limits as headers: those that OpenAI's clients read, and the IETF's draft RateLimit fields."""

from hivemark.coordinator.service.limits import UNITS, Allowance, Quota, RateLimited, Unit


def limit_headers(allowance: Allowance) -> dict[str, str]:
    """For every answer under a key; nothing where the key has no limit."""
    quotas = _quotas(allowance)
    if not quotas:
        return {}
    headers = {
        "RateLimit-Policy": ", ".join(
            f'"{unit}";q={quota.limit};w=60{_unit(unit)}' for unit, quota in quotas
        ),
        "RateLimit": ", ".join(
            f'"{unit}";r={quota.remaining};t={-(-quota.reset_ms // 1000)}' for unit, quota in quotas
        ),
    }
    for unit, quota in quotas:
        headers[f"x-ratelimit-limit-{unit}"] = str(quota.limit)
        headers[f"x-ratelimit-remaining-{unit}"] = str(quota.remaining)
        headers[f"x-ratelimit-reset-{unit}"] = _duration(quota.reset_ms)
    return headers


def refusal_headers(refusal: RateLimited) -> dict[str, str]:
    """For 429: when to come back, in whole seconds and, for clients that read it, in milliseconds."""
    return limit_headers(refusal.allowance) | {
        "Retry-After": str(refusal.retry_after_s),
        "retry-after-ms": str(refusal.retry_after_ms),
    }


def _quotas(allowance: Allowance) -> list[tuple[Unit, Quota]]:
    both: dict[Unit, Quota | None] = {"requests": allowance.requests, "tokens": allowance.tokens}
    return [(unit, quota) for unit in UNITS if (quota := both[unit]) is not None]


def _unit(unit: Unit) -> str:
    """The draft's default unit is requests."""
    return "" if unit == "requests" else f';qu="{unit}"'


def _duration(ms: int) -> str:
    """As OpenAI writes it: `120ms`, `8.64s`, `6m0s`."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, 60_000)
    seconds = f"{rest_ms // 1000}.{rest_ms % 1000:03}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
