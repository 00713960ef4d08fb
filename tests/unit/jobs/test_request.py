"""What a hive is asked to run."""

from collections.abc import Callable

from hivemark.jobs.cells import ResolvedModel, expand
from hivemark.jobs.request import ResolvedQuestion, cell_seed, effective_request
from hivemark.protocol.jobspec_members import JobSpec

SpecMaker = Callable[..., JobSpec]

TINY = ResolvedModel("tiny", "aa")
ASKED = ResolvedQuestion("sum-2-plus-3", "What is 2 + 3?", "bb")


def test_a_request_says_everything_that_is_run(make_spec: SpecMaker) -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 12, "stop": ["\n"]}
    personas = [{"id": "none", "system": ""}, {"id": "bee", "system": "You are a bee."}]
    spec = make_spec(execution={"seed": 7, "sampling": sampling, "personas": personas})
    _, cell = expand(spec, models=(TINY,), regions=("EU",))
    assert effective_request(spec, cell, ASKED) == {
        "model": {"name": "tiny", "weights_sha256": "aa"},
        "messages": [
            {"role": "system", "content": "You are a bee."},
            {"role": "user", "content": "What is 2 + 3?"},
        ],
        "sampling": sampling,
        "seed": 7,
        "question": {"id": "sum-2-plus-3", "set_sha256": "bb"},
    }


def test_without_personas_there_is_no_system_message(make_spec: SpecMaker) -> None:
    spec = make_spec()
    (cell,) = expand(spec, models=(TINY,), regions=())
    request = effective_request(spec, cell, ASKED)
    assert request["messages"] == [{"role": "user", "content": "What is 2 + 3?"}]


def test_the_region_is_never_told(make_spec: SpecMaker) -> None:
    spec = make_spec(constraints={"regions": ["US", "EU"]})
    here, there = expand(spec, models=(TINY,), regions=("US", "EU"))
    assert effective_request(spec, here, ASKED) == effective_request(spec, there, ASKED)


def test_a_noop_asks_for_nothing(make_spec: SpecMaker) -> None:
    spec = make_spec(benchmark="noop", questions=[], models=[])
    (cell,) = expand(spec, models=(), regions=())
    request = effective_request(spec, cell, None)
    assert (request["model"], request["messages"], request["question"]) == (None, [], None)


def test_repeats_draw_anew_and_everything_else_is_paired(make_spec: SpecMaker) -> None:
    spec = make_spec(runs=3, execution={"seed": 2**53 - 2, "arms": [{"id": "a"}, {"id": "b"}]})
    cells = expand(spec, models=(TINY,), regions=("US", "EU"))
    seeds = {
        cell.repeat: {cell_seed(spec, other) for other in cells if other.repeat == cell.repeat}
        for cell in cells
    }
    assert seeds == {0: {2**53 - 2}, 1: {2**53 - 1}, 2: {0}}
