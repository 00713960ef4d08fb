"""Placement: who may run what, and in which order."""

from dataclasses import replace

import pytest

from hivemark.fleet.placement import Candidate, Provider, choose, is_eligible

EU = Provider(
    hive="hive_eu",
    region="EU",
    draining=False,
    digests=frozenset({"aa", "bb"}),
    unpinned=frozenset({"loose"}),
)
PINNED = Candidate(
    execution="exe_1",
    job="job_1",
    job_created_ms=1,
    ordinal=0,
    not_before_ms=0,
    model_name="tiny",
    weights_sha256="aa",
    region="EU",
)


@pytest.mark.parametrize(
    ("change", "eligible"),
    [
        ({}, True),
        ({"weights_sha256": "cc"}, False),
        ({"weights_sha256": None}, False),  # a pinned model never stands in for an unpinned one of its name
        ({"weights_sha256": None, "model_name": "loose"}, True),
        ({"weights_sha256": "cc", "model_name": "loose"}, False),
        ({"weights_sha256": None, "model_name": None}, True),
        ({"region": "US"}, False),
        ({"region": None}, True),
        ({"providers_deny": frozenset({"hive_eu"})}, False),
        ({"providers_deny": frozenset({"hive_us"})}, True),
        ({"providers_allow": frozenset({"hive_eu"})}, True),
        ({"providers_allow": frozenset({"hive_us"})}, False),
        ({"providers_allow": frozenset({"hive_eu"}), "providers_deny": frozenset({"hive_eu"})}, False),
    ],
)
def test_only_a_hive_that_fits_is_eligible(change: dict[str, object], eligible: bool) -> None:
    candidate = replace(PINNED, **change)
    assert is_eligible(candidate, EU) is eligible
    assert bool(choose([candidate], EU, free_slots=1, now_ms=0)) is eligible


def test_a_hive_without_a_region_gets_no_work_bound_to_one() -> None:
    nowhere = replace(EU, region=None)
    assert not is_eligible(PINNED, nowhere)
    assert is_eligible(replace(PINNED, region=None), nowhere)


def test_a_draining_or_full_hive_gets_nothing() -> None:
    assert choose([PINNED], replace(EU, draining=True), free_slots=4, now_ms=0) == []
    assert choose([PINNED], EU, free_slots=0, now_ms=0) == []
    assert choose([PINNED], EU, free_slots=-1, now_ms=0) == []


def test_a_retry_waits_for_its_time() -> None:
    later = replace(PINNED, not_before_ms=500)
    assert choose([later], EU, free_slots=1, now_ms=499) == []
    assert choose([later], EU, free_slots=1, now_ms=500) == [later]


def test_jobs_take_turns_and_the_oldest_begins() -> None:
    def cell(job: str, created_ms: int, ordinal: int) -> Candidate:
        return replace(
            PINNED, execution=f"{job}/{ordinal}", job=job, job_created_ms=created_ms, ordinal=ordinal
        )

    long = [cell("job_long", 1, ordinal) for ordinal in (3, 0, 2, 1)]
    short = [cell("job_short", 2, ordinal) for ordinal in (1, 0)]
    chosen = choose([*short, *long], EU, free_slots=5, now_ms=0)
    assert [one.execution for one in chosen] == [
        "job_long/0",
        "job_short/0",
        "job_long/1",
        "job_short/1",
        "job_long/2",
    ]
