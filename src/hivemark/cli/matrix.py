"""The matrix of a job while it runs: questions down, models and regions across, one mark per repeat."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
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
NAME_CHARS_MAX: Final = 24


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


def render_matrix(matrix: Matrix, *, elapsed_s: float) -> RenderableType:
    """The whole matrix with a bar below, for a live display."""
    places = list(dict.fromkeys(matrix.places.values()))
    columns = list(dict.fromkeys((place.model, place.region) for place in places))
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", style="bold")
    for model, region in columns:
        table.add_column(Text(f"{_short(model)}\n{region}", justify="center"), justify="center")
    for question in dict.fromkeys(place.question for place in places):
        marks = [matrix.marks(Cell(question, model, region)) for model, region in columns]
        table.add_row(_short(question), *marks)
    remarks = [Text(remark, "yellow") for remark in matrix.remarks]
    return Group(table, Text(""), _bar(matrix, elapsed_s), *remarks)


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


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARS_MAX else f"{name[: NAME_CHARS_MAX - 1]}…"
