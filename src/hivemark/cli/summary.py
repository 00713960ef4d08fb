"""What a finished job says, as tables for people and rows for programs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from hivemark.analysis.answers import Answer, Measure, Summary, is_right, normalise_answer, summarise
from hivemark.cli.output import plain_table
from hivemark.client.views import Execution, Job, Question
from hivemark.jobs.questions import inline_rule
from hivemark.protocol.jobspec_members import Question as PostedQuestion
from hivemark.protocol.strictjson import JsonObject

ANSWER_CHARS_MAX: Final = 60
Rules = Mapping[str, JsonObject | None]


def rules_of(
    known: Sequence[Question], posted: Sequence[PostedQuestion] = ()
) -> dict[str, JsonObject | None]:
    """By which rule each question's answer is right; a question posted in full brings its own."""
    rules: dict[str, JsonObject | None] = {question.id: question.expected for question in known}
    for question in posted:
        if question.text is not None:
            rules[question.id] = None if question.expected is None else inline_rule(question.expected)
    return rules


def measure(executions: Sequence[Execution], rules: Rules) -> Summary:
    """The numbers of a job by model and region."""
    return summarise(
        Answer(
            model=execution.model.name if execution.model else "–",
            region=execution.region.claimed,
            group=(_question_id(execution), execution.persona, execution.arm, execution.repeat),
            completed=execution.state == "completed",
            text=execution.output if execution.state == "completed" and execution.model else None,
            expected=rules.get(_question_id(execution)),
            tokens_per_s=execution.tokens_per_s,
        )
        for execution in sorted(executions, key=lambda each: each.ordinal)
    )


def summary_table(summary: Summary) -> Table:
    """A line per model and region; a number always says of how many."""
    table = plain_table(
        "model", "region", "completed", "control right", "regions agree", "tokens/s",
        numbers=("completed", "control right", "regions agree", "tokens/s"),
    )  # fmt: skip
    for line in summary.lines:
        table.add_row(
            line.model,
            line.region or "any",
            f"{line.completed}/{line.cells}",
            _share(line.right),
            _share(line.agreement),
            "–" if line.tokens_per_s.value is None else f"{line.tokens_per_s.value:,.0f}",
        )
    return table


def summary_rows(summary: Summary) -> list[dict[str, Any]]:
    """The same for programs: null where nothing was measured, with the reason."""
    return [
        {
            "model": line.model,
            "region": line.region,
            "executions": line.cells,
            "completed": line.completed,
            "control_right": _measured(line.right),
            "agreement": _measured(line.agreement),
            "tokens_per_s": _measured(line.tokens_per_s),
        }
        for line in summary.lines
    ]


def answers_table(executions: Sequence[Execution], rules: Rules) -> Table:
    """What each model said to each question; differing answers are counted, not hidden."""
    ordered = sorted(executions, key=lambda each: each.ordinal)
    models = list(dict.fromkeys(each.model.name for each in ordered if each.model))
    table = plain_table("question", *models)
    for question in dict.fromkeys(_question_id(each) for each in ordered if each.question):
        cells = [
            [
                each
                for each in ordered
                if _question_id(each) == question and each.model and each.model.name == model
            ]
            for model in models
        ]
        table.add_row(question, *(_answers(cell, rules.get(question)) for cell in cells))
    return table


def job_line(job: Job) -> str:
    """The job's end in one line."""
    progress = job.progress
    parts = [f"{progress.completed} of {progress.cells} completed"]
    parts += [
        f"{count} {name}" for name in ("failed", "dead", "cancelled") if (count := getattr(progress, name))
    ]
    return f"{job.id} {job.state}: {', '.join(parts)}; {job.credits.settled} credits paid"


def _answers(executions: Sequence[Execution], rule: JsonObject | None) -> Text:
    given = [each.output for each in executions if each.output is not None]
    if not given:
        return Text("–", "dim")
    distinct = list(dict.fromkeys(normalise_answer(answer) for answer in given))
    first = " ".join(given[0].split())
    text = Text(first if len(first) <= ANSWER_CHARS_MAX else f"{first[: ANSWER_CHARS_MAX - 1]}…")
    verdict = is_right(rule, given[0])
    if verdict is not None:
        text.append(" ✓" if verdict else " ✗", "green" if verdict else "red")
    if len(distinct) > 1:
        text.append(f"  (+{len(distinct) - 1} other)", "yellow")
    return text


def _question_id(execution: Execution) -> str:
    return execution.question.id if execution.question else "–"


def _share(measure: Measure) -> str:
    return "–" if measure.value is None else f"{round(measure.value * measure.count)}/{measure.count}"


def _measured(measure: Measure) -> dict[str, Any]:
    if measure.value is None:
        return {"value": None, "of": 0, "reason": measure.reason}
    return {"value": round(measure.value, 4), "of": measure.count}
