"""Which queued executions a hive with free slots is given: a pure choice from facts.

Nothing is substituted: an execution waits until a hive of its region offers exactly its model.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued execution. Its model is pinned by a digest, unpinned by its name alone, or none (`noop`)."""

    execution: str
    job: str
    job_created_ms: int
    ordinal: int
    not_before_ms: int
    model_name: str | None
    weights_sha256: str | None
    region: str | None
    providers_allow: frozenset[str] = frozenset()
    providers_deny: frozenset[str] = frozenset()
    is_waited_for: bool = False
    """A client waits for its answer: it goes before jobs, which nobody watches token by token."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What a hive offers: `digests` of the models it serves, and the names of those that have none."""

    hive: str
    region: str | None
    draining: bool
    digests: frozenset[str]
    unpinned: frozenset[str]


def choose(
    candidates: Iterable[Candidate], provider: Provider, *, free_slots: int, now_ms: int
) -> list[Candidate]:
    """At most `free_slots` executions this hive may run, each job served in turn, the oldest first."""
    if provider.draining or free_slots <= 0:
        return []
    eligible = [one for one in candidates if one.not_before_ms <= now_ms and is_eligible(one, provider)]
    return [candidate for candidate, _ in zip(_in_turn(eligible), range(free_slots), strict=False)]


def is_eligible(candidate: Candidate, provider: Provider) -> bool:
    """Whether this hive may ever run this execution."""
    return (
        _serves(candidate, provider)
        and candidate.region in (None, provider.region)
        and provider.hive not in candidate.providers_deny
        and (not candidate.providers_allow or provider.hive in candidate.providers_allow)
    )


def _serves(candidate: Candidate, provider: Provider) -> bool:
    if candidate.weights_sha256 is not None:
        return candidate.weights_sha256 in provider.digests
    return candidate.model_name is None or candidate.model_name in provider.unpinned


def _order(one: Candidate) -> tuple[bool, int, str, int]:
    return (not one.is_waited_for, one.job_created_ms, one.job, one.ordinal)


def _in_turn(candidates: list[Candidate]) -> Iterator[Candidate]:
    """The first of each job in order of age, then the second of each, so that no long job starves another."""
    by_job: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(candidates, key=_order):
        by_job[candidate.job].append(candidate)
    queues = list(by_job.values())
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))
