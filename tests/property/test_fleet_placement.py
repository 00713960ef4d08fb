"""Whatever is queued, a hive is given only what it may run, once each, and never more than its slots."""

from hypothesis import given
from hypothesis import strategies as st

from hivemark.fleet.placement import Candidate, Provider, choose, is_eligible

DIGESTS = st.sampled_from(["aa", "bb", None])
REGIONS = st.sampled_from(["US", "EU", None])
HIVES = st.frozensets(st.sampled_from(["hive_a", "hive_b"]), max_size=2)


@st.composite
def queues(draw: st.DrawFn) -> list[Candidate]:
    queue = []
    for number in range(draw(st.integers(0, 30))):
        job = draw(st.integers(0, 3))
        queue.append(
            Candidate(
                execution=f"exe_{number}",
                job=f"job_{job}",
                job_created_ms=job // 2,
                ordinal=number,
                not_before_ms=draw(st.integers(0, 10)),
                model_name=draw(st.sampled_from(["m", None])),
                weights_sha256=draw(DIGESTS),
                region=draw(REGIONS),
                providers_allow=draw(HIVES),
                providers_deny=draw(HIVES),
            )
        )
    return draw(st.permutations(queue))


PROVIDERS = st.builds(
    Provider,
    hive=st.sampled_from(["hive_a", "hive_b"]),
    region=REGIONS,
    draining=st.booleans(),
    digests=st.frozensets(st.sampled_from(["aa", "bb"])),
    unpinned=st.frozensets(st.just("m")),
)


@given(queues(), PROVIDERS, st.integers(0, 8), st.integers(0, 10))
def test_the_choice_is_eligible_due_unique_and_as_large_as_it_can_be(
    queue: list[Candidate], provider: Provider, free_slots: int, now_ms: int
) -> None:
    chosen = choose(queue, provider, free_slots=free_slots, now_ms=now_ms)
    may = [one for one in queue if is_eligible(one, provider) and one.not_before_ms <= now_ms]
    assert all(one in may for one in chosen)
    assert len({one.execution for one in chosen}) == len(chosen)
    assert len(chosen) == (0 if provider.draining else min(free_slots, len(may)))
    assert chosen == choose(sorted(queue, key=hash), provider, free_slots=free_slots, now_ms=now_ms)


@given(queues(), PROVIDERS, st.integers(0, 8))
def test_no_job_is_two_turns_ahead_of_another_that_waits(
    queue: list[Candidate], provider: Provider, free_slots: int
) -> None:
    chosen = choose(queue, provider, free_slots=free_slots, now_ms=10)
    left = [
        one for one in queue if is_eligible(one, provider) and one not in chosen and not provider.draining
    ]
    taken = {job: sum(one.job == job for one in chosen) for job in {one.job for one in queue}}
    if free_slots > 0:
        for waiting in left:
            assert max(taken.values()) - taken[waiting.job] <= 1
