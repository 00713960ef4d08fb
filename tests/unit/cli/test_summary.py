"""What a finished job says: numbers with their counts, and reasons where there is none."""

from typing import Any

from rich.console import Console

from hivemark.cli.summary import answers_table, job_line, measure, rules_of, summary_rows, summary_table
from hivemark.client.views import (
    Credits,
    Execution,
    Job,
    ModelRef,
    Progress,
    Question,
    QuestionRef,
    RegionView,
)
from hivemark.protocol.jobspec_members import Question as PostedQuestion

RULES = {"sum": {"rule": "number", "value": 5}, "story": None}


def execution(ordinal: int, text: str | None, **changes: Any) -> Execution:
    members: dict[str, Any] = {
        "id": f"exe_{ordinal}",
        "job": "job_1",
        "ordinal": ordinal,
        "state": "completed" if text is not None else "dead",
        "attempts": 1,
        "repeat": 0,
        "question": QuestionRef(id="sum"),
        "model": ModelRef(name="tiny"),
        "region": RegionView(claimed="EU"),
        "output": text,
        "tokens_per_s": 100.0 if text is not None else None,
    }
    return Execution(**{**members, **changes})


def shown(table: Any) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_each_model_and_region_has_its_line() -> None:
    us = RegionView(claimed="US")
    summary = measure(
        [
            execution(0, "5"),
            execution(1, "6", repeat=1),
            execution(2, "5", region=us),
            execution(3, None, region=us),
        ],
        RULES,
    )
    rows = summary_rows(summary)
    assert [(row["region"], row["completed"], row["executions"]) for row in rows] == [
        ("EU", 2, 2),
        ("US", 1, 2),
    ]
    assert rows[0]["control_right"] == {"value": 0.5, "of": 2}
    assert rows[1]["agreement"] == {"value": 1.0, "of": 1}
    assert "1/2" in shown(summary_table(summary))


def test_where_nothing_was_measured_there_is_a_reason_and_no_number() -> None:
    (row,) = summary_rows(measure([execution(0, "Once", question=QuestionRef(id="story"))], RULES))
    assert row["control_right"]["value"] is None
    assert row["control_right"]["reason"]
    assert row["agreement"]["value"] is None
    assert "–" in shown(summary_table(measure([execution(0, None)], RULES)))


def test_differing_answers_are_counted_and_not_hidden() -> None:
    text = shown(answers_table([execution(0, "5."), execution(1, " 5 "), execution(2, "6")], RULES))
    assert "5. ✓" in text
    assert "(+1 other)" in text


def test_a_wrong_answer_is_marked_and_an_absent_one_is_a_dash() -> None:
    table = answers_table([execution(0, "7"), execution(1, None, question=QuestionRef(id="story"))], RULES)
    assert "7 ✗" in shown(table)
    assert "–" in shown(table)


def test_text_of_models_is_never_taken_for_markup() -> None:
    assert "[bold]x[/bold]" in shown(answers_table([execution(0, "[bold]x[/bold] 5")], RULES))


def test_a_question_in_full_brings_its_own_rule() -> None:
    known = [Question(id="sum", expected={"rule": "number", "value": 5})]
    posted = [
        PostedQuestion(id="sum"),
        PostedQuestion(id="mine", text="?", expected="Nairobi"),
        PostedQuestion(id="free", text="?"),
    ]
    assert rules_of(known, posted) == {
        "sum": {"rule": "number", "value": 5},
        "mine": {"rule": "contains_any", "values": ["Nairobi"]},
        "free": None,
    }


def test_the_last_line_counts_what_failed() -> None:
    progress = Progress(cells=4, queued=0, leased=0, running=0, completed=2, failed=0, dead=1, cancelled=1)
    job = Job(
        id="job_1",
        spec_id="s",
        benchmark="b",
        state="failed",
        visibility="public",
        created_at="",
        progress=progress,
        credits=Credits(held="0", settled="0.25"),
        spec_sha256="",
    )
    assert job_line(job) == "job_1 failed: 2 of 4 completed, 1 dead, 1 cancelled; 0.25 credits paid"
    assert job.executions == ()
