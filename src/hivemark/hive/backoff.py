"""Waiting longer after each failure, never at the same instant as everybody else."""

from collections.abc import Callable


def jittered_ms(tries: int, first_ms: int, max_ms: int, *, random: Callable[[int], bytes]) -> int:
    """Between half and all of `first_ms` doubled with every try (1 is the first), at most `max_ms`."""
    assert tries >= 1
    ceiling = min(max_ms, first_ms << min(tries - 1, 20))
    share = int.from_bytes(random(2), "big") / 65_536
    return int(ceiling * (0.5 + share / 2))
