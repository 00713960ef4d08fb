"""Two ways of speaking: tables and colours to a person, plain lines and JSON to everything else."""

import json
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

PIPE_COLUMNS: Final = 200  # who reads a pipe cuts lines by himself
COPIED: Final = frozenset(
    {"id", "job", "execution", "public key", "account"}
)  # shown whole as long as it fits


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command speaks; with `as_json` stdout carries the result alone, stderr the rest."""

    as_json: bool
    people: Console

    @property
    def is_live(self) -> bool:
        """Whether a display may redraw itself: on a terminal only."""
        return self.people.is_terminal and not self.people.is_dumb_terminal

    def say(self, text: str = "", *, style: str | None = None, markup: bool = False) -> None:
        """A line for people; markup only for text of our own."""
        self.people.print(text, style=style, highlight=False, soft_wrap=True, markup=markup)

    def show(self, renderable: object) -> None:
        """A table or the like, for people."""
        self.people.print(renderable)

    def result(self, value: dict[str, Any]) -> None:
        """The one object that a program reads, on one line; nothing for people."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False), flush=True)


def open_output(*, as_json: bool) -> Output:
    """The output of one command."""
    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    return Output(as_json=as_json, people=console)


def plain_table(*columns: str, title: str | None = None, numbers: tuple[str, ...] = ()) -> Table:
    """A table in the one look they all have; the columns named in `numbers` stand to the right."""
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            header_style="dim",
            no_wrap=column in COPIED,
            overflow="fold",
        )
    return table
