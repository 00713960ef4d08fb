"""What can be read off a job's answers: control questions right, agreement between regions, speed.

Nothing is invented: where there is nothing to measure, a `Measure` has no value but a reason.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Final

from hivemark.errors import InvalidError
from hivemark.protocol.strictjson import JsonObject, JsonValue

_EDGES: Final = " .,;:!?\"'`*“”‘’«»"
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """One execution of a job, as far as it says something about answers. `group` is what it shares with
    the executions it is compared with in other regions: question, persona, arm, repeat and replica."""

    model: str
    region: str | None
    group: Hashable
    completed: bool
    text: str | None
    expected: JsonObject | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with the count of what it was measured on, or the reason why there is none."""

    value: float | None
    count: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One model in one region. `right` is the share of control questions answered right, `agreement` the
    share of groups in which this region's answer is that of every other region of the model."""

    model: str
    region: str | None
    cells: int
    completed: int
    right: Measure
    agreement: Measure
    tokens_per_s: Measure


@dataclass(frozen=True, slots=True)
class Summary:
    """A job's lines by model and region, in order of first appearance, and each model's agreement."""

    lines: tuple[Line, ...]
    agreement: Mapping[str, Measure]


def summarise(answers: Iterable[Answer]) -> Summary:
    """The summary of a job, whatever state it is in."""
    by_line: dict[tuple[str, str | None], list[Answer]] = defaultdict(list)
    for answer in answers:
        by_line[answer.model, answer.region].append(answer)
    texts: dict[str, dict[str | None, dict[Hashable, str]]] = defaultdict(dict)
    for (model, region), cells in by_line.items():
        texts[model][region] = {cell.group: cell.text for cell in cells if cell.text is not None}
    return Summary(
        lines=tuple(
            Line(
                model=model,
                region=region,
                cells=len(cells),
                completed=sum(cell.completed for cell in cells),
                right=_right(cells),
                agreement=_measured_agreement(texts[model], with_region=(region,)),
                tokens_per_s=_speed(cells),
            )
            for (model, region), cells in by_line.items()
        ),
        agreement={model: _measured_agreement(regions, with_region=()) for model, regions in texts.items()},
    )


def agreement(answers: Mapping[str | None, Mapping[Hashable, str]]) -> float | None:
    """Share of the groups answered in at least two regions (region → group → text) in which all normalised
    answers are equal; None where there is no such group."""
    return _measured_agreement(answers, with_region=()).value


def is_right(rule: JsonObject | None, text: str) -> bool | None:
    """Whether an answer meets the expected rule of its question; None where there is no rule."""
    if rule is None:
        return None
    answer = normalise_answer(text)
    match rule:
        case {"rule": "equals", "value": str() as value}:
            return answer == normalise_answer(value)
        case {"rule": "contains_any", "values": list() as values}:
            return any(_contains(answer, value) for value in values)
        case {"rule": "number", "value": int() | float() as value}:
            return _last_number(answer) == Fraction(repr(value))
    raise InvalidError(f"{rule!r} is no rule for an answer", code="rule_unknown")


def normalise_answer(text: str) -> str:
    """The answer without what does not count: Unicode form, case, white space, quotes and marks around it."""
    folded = unicodedata.normalize("NFKC", text).replace("\u2212", "-").casefold()
    return " ".join(folded.split()).strip(_EDGES)


def _contains(answer: str, value: JsonValue) -> bool:
    if not isinstance(value, str):
        raise InvalidError(f"{value!r} is nothing to find in an answer", code="rule_unknown")
    return re.search(rf"(?<!\w){re.escape(normalise_answer(value))}(?!\w)", answer) is not None


def _last_number(answer: str) -> Fraction | None:
    found = _NUMBER.findall(answer)
    return Fraction(found[-1].replace(",", "")) if found else None


def _right(cells: list[Answer]) -> Measure:
    checks = [is_right(cell.expected, cell.text) for cell in cells if cell.text is not None]
    verdicts = [verdict for verdict in checks if verdict is not None]
    if not verdicts:
        return Measure(None, 0, "no control question was answered")
    return Measure(sum(verdicts) / len(verdicts), len(verdicts))


def _speed(cells: list[Answer]) -> Measure:
    speeds = [cell.tokens_per_s for cell in cells if cell.tokens_per_s is not None]
    return Measure(median(speeds), len(speeds)) if speeds else Measure(None, 0, "no speed was measured")


def _measured_agreement(
    answers: Mapping[str | None, Mapping[Hashable, str]], *, with_region: tuple[str | None, ...]
) -> Measure:
    """Over the groups that at least two regions answered, `with_region` among them where it names one."""
    groups: dict[Hashable, dict[str | None, str]] = defaultdict(dict)
    for region, texts in answers.items():
        for group, text in texts.items():
            groups[group][region] = normalise_answer(text)
    compared = [
        texts for texts in groups.values() if len(texts) > 1 and all(one in texts for one in with_region)
    ]
    if not compared:
        return Measure(None, 0, "nothing was answered in two regions")
    return Measure(sum(len(set(texts.values())) == 1 for texts in compared) / len(compared), len(compared))
