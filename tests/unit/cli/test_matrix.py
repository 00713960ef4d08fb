"""The matrix shows every execution in its place, and nothing that is not there."""

from rich.console import Console

from hivemark.cli.matrix import MARKS, Cell, Matrix, progress_line, render_matrix
from hivemark.client.views import Execution, ModelRef, QuestionRef, RegionView


def execution(ordinal: int, **changes: object) -> Execution:
    members: dict[str, object] = {
        "id": f"exe_{ordinal}",
        "job": "job_1",
        "ordinal": ordinal,
        "state": "queued",
        "attempts": 0,
        "repeat": 0,
        "question": QuestionRef(id="sum-2-plus-3"),
        "model": ModelRef(name="tiny"),
        "region": RegionView(claimed="EU"),
    }
    return Execution(**{**members, **changes})  # type: ignore[arg-type]


def shown(matrix: Matrix, *, width: int = 120) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(render_matrix(matrix, elapsed_s=1.0))
    return captured.get()


def test_repeats_stand_side_by_side_in_their_order() -> None:
    matrix = Matrix.of((execution(1, state="completed"), execution(0, state="failed")))
    assert (
        matrix.marks(Cell("sum-2-plus-3", "tiny", "EU")).plain == MARKS["failed"][0] + MARKS["completed"][0]
    )


def test_an_event_moves_its_execution_and_no_other() -> None:
    matrix = Matrix.of((execution(0), execution(1)))
    matrix.move("exe_1", "completed")
    matrix.move("exe_of_another_job", "completed")
    matrix.move(None, None)
    assert (matrix.states, matrix.finished) == ({"exe_0": "queued", "exe_1": "completed"}, 1)


def test_an_execution_that_is_queued_again_is_not_finished() -> None:
    matrix = Matrix.of((execution(0, state="running"),))
    matrix.move("exe_0", "queued")
    assert (matrix.finished, matrix.counts) == (0, {"queued": 1})


def test_every_question_model_and_region_has_its_place() -> None:
    matrix = Matrix.of(
        (
            execution(0),
            execution(1, region=RegionView(claimed="US")),
            execution(2, model=None, question=None, region=RegionView()),
        )
    )
    text = shown(matrix)
    for name in ("sum-2-plus-3", "tiny", "EU", "US", "any", "0/3"):
        assert name in text


def test_a_job_without_executions_can_be_shown() -> None:
    assert "0/0" in shown(Matrix.of(()))


def test_a_plain_line_counts_every_state() -> None:
    matrix = Matrix.of((execution(0), execution(1, state="dead"), execution(2, state="completed")))
    assert progress_line(matrix, elapsed_s=3.25) == "  3.2 s  2/3 finished (1 completed, 1 dead, 1 queued)"


def test_two_models_with_like_names_can_be_told_apart_on_a_narrow_terminal() -> None:
    models = ("hivemark-tiny-a", "hivemark-tiny-b")
    regions = ("US", "EU", "ASIA")
    cells = [(model, region) for model in models for region in regions]
    matrix = Matrix.of(
        tuple(
            execution(n, model=ModelRef(name=model), region=RegionView(claimed=region))
            for n, (model, region) in enumerate(cells)
        )
    )
    lines = shown(matrix, width=80).splitlines()
    assert lines[0].split() == list(models)
    assert lines[1].split() == [*regions, *regions]
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_a_matrix_that_does_not_fit_is_a_bar() -> None:
    matrix = Matrix.of(tuple(execution(n, question=QuestionRef(id=f"q{n}")) for n in range(41)))
    assert "q7" not in shown(matrix)
    assert "0/41" in shown(matrix)


def test_what_went_wrong_and_what_is_waited_for_is_said() -> None:
    matrix = Matrix.of((execution(0),))
    matrix.troubles.update(["lease lost", "lease lost", "failed (stall)"])
    matrix.waiting_for = ("a hive in ASIA",)
    for text in (shown(matrix), progress_line(matrix, elapsed_s=1.0)):
        assert "attempts that went wrong: 2 × lease lost, 1 × failed (stall)" in text
        assert "waiting for a hive in ASIA" in text
