"""A benchmark becomes a JobSpec that can be signed as it stands."""

import os

import pytest

from hivemark.client.benchmarks import Benchmark, build_spec
from hivemark.errors import InvalidError
from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec, verify_jobspec
from hivemark.protocol.keys import PrivateKey

NOW_MS = 1_795_205_429_123
KEY = PrivateKey.from_seed(bytes(range(32)))


def benchmark(**changes: object) -> Benchmark:
    members: dict[str, object] = {
        "id": "b-1",
        "name": "capitals",
        "questions": ("capital-peru", {"id": "own-1", "text": "Why?"}),
        "models": ({"name": "tiny", "digest": "ab" * 32},),
        "regions": ("US", "EU"),
        "repeats": 3,
        "max_tokens": 20,
        "temperature": 0.5,
        "seed": 7,
        "visibility": "public",
        "timeout_s": 60,
    }
    return Benchmark(**{**members, **changes})  # type: ignore[arg-type]


def test_what_was_asked_for_is_what_is_signed() -> None:
    signed = parse_jobspec(sign_jobspec(build_spec(benchmark()), KEY, now_ms=NOW_MS, random=os.urandom))
    verify_jobspec(signed)
    spec = signed.spec
    assert [question.id for question in spec.questions] == ["capital-peru", "own-1"]
    assert [(model.name, model.digest) for model in spec.models] == [("tiny", "ab" * 32)]
    assert (spec.runs, spec.execution.seed, spec.execution.sampling.max_tokens) == (3, 7, 20)
    assert (spec.constraints.regions, spec.constraints.min_regions) == (("US", "EU"), 2)
    assert (spec.execution.visibility, spec.constraints.timeout_s) == ("public", 60)


def test_members_at_their_default_are_left_out() -> None:
    value = build_spec(benchmark(regions=(), visibility=None, timeout_s=None))
    assert value["constraints"] == {}
    assert "visibility" not in value["execution"]  # type: ignore[operator]
    assert "description" not in value["benchmark"]  # type: ignore[operator]


def test_a_benchmark_that_would_be_refused_is_not_signed() -> None:
    with pytest.raises(InvalidError) as caught:
        sign_jobspec(build_spec(benchmark(repeats=101)), KEY, now_ms=NOW_MS, random=os.urandom)
    assert caught.value.field == "runs"
