"""The matrix of a job while it runs: questions down, models and regions across, one mark per repeat."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from hivemark.client.views import Execution

MARKS: Final = {
    "queued": ("·", "dim"),
    "leased": ("◦", "yellow"),
    "running": ("▸", "bold yellow"),
    "completed": ("■", "green"),
    "failed": ("✗", "red"),
    "dead": ("✗", "bold red"),
    "cancelled": ("–", "dim"),
}
FINAL_STATES: Final = frozenset({"completed", "failed", "dead", "cancelled"})
NAME_CHARS_MAX: Final = 22


@dataclass(frozen=True, slots=True)
class Cell:
    """Where an execution stands in the matrix."""

    question: str
    model: str
    region: str


@dataclass(slots=True)
class Matrix:
    """The states of all executions of a job; changed by events, read by whoever shows it.

    `troubles` counts the attempts that went wrong, by what went wrong; `waiting_for` says why nothing moves.
    """

    places: dict[str, Cell] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)
    waiting_for: tuple[str, ...] = ()

    @classmethod
    def of(cls, executions: tuple[Execution, ...]) -> "Matrix":
        """The matrix as the coordinator told it; its order is the order of the cells."""
        matrix = cls()
        for execution in sorted(executions, key=lambda each: each.ordinal):
            matrix.places[execution.id] = Cell(
                question=execution.question.id if execution.question else "–",
                model=execution.model.name if execution.model else "–",
                region=execution.region.claimed or "any",
            )
            matrix.states[execution.id] = execution.state
        return matrix

    def move(self, execution: str | None, state: str | None) -> None:
        """Take in an event; one of an execution that is not ours is nobody's business."""
        if execution in self.states and state is not None:
            self.states[execution] = state

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person wants to know beyond the marks."""
        lost = [f"{count} × {what}" for what, count in self.troubles.most_common()]
        told = [f"attempts that went wrong: {', '.join(lost)}"] if lost else []
        return (*told, *(f"waiting for {reason}" for reason in self.waiting_for))

    @property
    def counts(self) -> Counter[str]:
        """How many executions are in each state."""
        return Counter(self.states.values())

    @property
    def finished(self) -> int:
        """How many executions will not move any more."""
        return sum(count for state, count in self.counts.items() if state in FINAL_STATES)

    def marks(self, cell: Cell) -> Text:
        """One mark per repeat of this cell, in their order."""
        text = Text()
        for execution, place in self.places.items():
            if place == cell:
                mark, style = MARKS.get(self.states[execution], ("?", "red"))
                text.append(mark, style)
        return text


def render_matrix(matrix: Matrix, *, elapsed_s: float, rows_max: int = 40) -> RenderableType:
    """The whole matrix with a bar below, for a live display; the bar alone when it would not fit."""
    remarks = [Text(remark, "yellow") for remark in matrix.remarks]
    below = (_bar(matrix, elapsed_s), *remarks)
    places = list(dict.fromkeys(matrix.places.values()))
    questions = list(dict.fromkeys(place.question for place in places))
    if len(questions) > rows_max:
        return Group(*below)
    columns = _columns(matrix, places)
    rows = [_row(matrix, question, columns) for question in questions]
    return Group(*_heads(columns), *rows, Text(""), *below)


@dataclass(frozen=True, slots=True)
class _Column:
    model: str
    region: str
    width: int


def _columns(matrix: Matrix, places: Sequence[Cell]) -> list[_Column]:
    """One per model and region: wide enough for a mark per repeat, and together for the model's name."""
    repeats = max(Counter(matrix.places.values()).values(), default=1)
    pairs = list(dict.fromkeys((place.model, place.region) for place in places))
    regions_of = Counter(model for model, _ in pairs)
    return [
        _Column(model, region, max(len(region), repeats, -(-_name_chars(model) // regions_of[model])) + 2)
        for model, region in pairs
    ]


def _name_chars(name: str) -> int:
    return min(len(name), NAME_CHARS_MAX)


def _heads(columns: Sequence[_Column]) -> list[Text]:
    """The models' names over all their regions, which would be too narrow for them one by one."""
    models, regions = _line(""), _line("")
    for model in dict.fromkeys(column.model for column in columns):
        widths = [column.width for column in columns if column.model == model]
        models.append(_fit(model, sum(widths)), "bold")
    for column in columns:
        regions.append(_fit(column.region, column.width), "dim")
    return [models, regions]


def _row(matrix: Matrix, question: str, columns: Sequence[_Column]) -> Text:
    line = _line(question)
    for column in columns:
        marks = matrix.marks(Cell(question, column.model, column.region))
        marks.pad_right(column.width - len(marks))
        line.append_text(marks)
    return line


def _line(question: str) -> Text:
    return Text(_fit(question, NAME_CHARS_MAX), no_wrap=True, overflow="ellipsis")


def _fit(text: str, width: int) -> str:
    """`text` with two spaces after it, cut where it is too long."""
    room = width - 2
    return (text if len(text) <= room else f"{text[: room - 1]}…").ljust(width)


def progress_line(matrix: Matrix, *, elapsed_s: float) -> str:
    """The same in one line, where nothing can be redrawn."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(matrix.counts.items()))
    told = "".join(f"; {remark}" for remark in matrix.remarks)
    return f"{elapsed_s:5.1f} s  {matrix.finished}/{len(matrix.states)} finished ({counts}){told}"


def _bar(matrix: Matrix, elapsed_s: float) -> Text:
    total, done, width = len(matrix.states), matrix.finished, 40
    filled = width * done // total if total else 0
    text = Text("━" * filled, "green")
    text.append("━" * (width - filled), "dim")
    text.append(f"  {done}/{total}  {elapsed_s:.0f} s")
    return text
