"""Which executions a job has."""

from collections.abc import Callable

import pytest

from hivemark.errors import UnsatisfiableError
from hivemark.jobs.cells import EXECUTIONS_MAX, Cell, ResolvedModel, expand
from hivemark.protocol.jobspec_members import JobSpec

SpecMaker = Callable[..., JobSpec]

TINY = ResolvedModel("tiny", "aa")
SMALL = ResolvedModel("small", None)


def resolved(spec: JobSpec) -> tuple[Cell, ...]:
    models = tuple(ResolvedModel(model.name, model.digest) for model in spec.models)
    return expand(spec, models=models, regions=spec.constraints.regions)


def test_absent_dimensions_count_as_one_with_index_0(make_spec: SpecMaker) -> None:
    (cell,) = expand(make_spec(), models=(TINY,), regions=())
    assert cell == Cell(0, 0, 0, 0, 0, 0, 0, resolved_model=TINY, region=None)


def test_every_combination_is_one_cell(make_spec: SpecMaker) -> None:
    spec = make_spec(
        questions=["q1", "q2"],
        models=["tiny", "small"],
        runs=3,
        constraints={"regions": ["US", "EU"]},
        execution={
            "personas": [{"id": "a", "system": "x"}, {"id": "b", "system": "y"}],
            "arms": [{"id": "main"}, {"id": "again"}],
            "verification": {"class": "exact", "replicas": 2},
        },
    )
    cells = expand(spec, models=(TINY, SMALL), regions=("US", "EU"))
    keys = {(c.question, c.persona, c.model, c.region_index, c.arm, c.repeat, c.replica) for c in cells}
    assert len(cells) == len(keys) == 2 * 2 * 2 * 2 * 2 * 3 * 2
    assert {(c.region_index, c.region) for c in cells} == {(0, "US"), (1, "EU")}
    assert {(c.model, c.resolved_model) for c in cells} == {(0, TINY), (1, SMALL)}
    assert cells == expand(spec, models=(TINY, SMALL), regions=("US", "EU"))


def test_what_is_compared_between_regions_is_queued_together(make_spec: SpecMaker) -> None:
    spec = make_spec(questions=["q1", "q2"], runs=2, constraints={"regions": ["US", "EU", "ASIA"]})
    cells = resolved(spec)
    assert [cell.region for cell in cells[:3]] == ["US", "EU", "ASIA"]
    assert len({(cell.question, cell.repeat) for cell in cells[:3]}) == 1
    assert [cell.repeat for cell in cells] == [0] * 6 + [1] * 6


def test_a_noop_has_one_cell_for_each_region_and_run(make_spec: SpecMaker) -> None:
    spec = make_spec(benchmark="noop", questions=[], models=[], runs=2, constraints={"regions": ["US", "EU"]})
    cells = expand(spec, models=(), regions=("US", "EU"))
    assert [(cell.repeat, cell.region) for cell in cells] == [(0, "US"), (0, "EU"), (1, "US"), (1, "EU")]
    assert all(cell.resolved_model is None for cell in cells)


def test_a_noop_that_names_questions_and_models_still_runs_none(make_spec: SpecMaker) -> None:
    (cell,) = expand(make_spec(benchmark="noop"), models=(TINY,), regions=())
    assert cell.resolved_model is None


def test_an_arm_that_names_a_region_runs_there_alone(make_spec: SpecMaker) -> None:
    arms = [{"id": "all"}, {"id": "eu", "region": "EU"}, {"id": "mars", "region": "MARS"}]
    spec = make_spec(constraints={"regions": ["US", "EU"]}, execution={"arms": arms})
    assert [(cell.arm, cell.region_index, cell.region) for cell in resolved(spec)] == [
        (0, 0, "US"),
        (0, 1, "EU"),
        (1, 1, "EU"),
        (2, 2, "MARS"),
    ]


def test_a_job_at_the_limit_is_made_and_one_beyond_it_refused(make_spec: SpecMaker) -> None:
    most = make_spec(questions=[f"q{n}" for n in range(50)], runs=100)
    assert len(resolved(most)) == EXECUTIONS_MAX
    beyond = make_spec(
        questions=[f"q{n}" for n in range(1000)], models=[f"m{n}" for n in range(32)], runs=100
    )
    with pytest.raises(UnsatisfiableError) as refused:
        resolved(beyond)
    assert refused.value.code == "too_many_executions"
    assert "3,200,000" in refused.value.message
