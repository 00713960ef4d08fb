"""Two ways of speaking: tables and colours to a person, plain lines and JSON to everything else."""

import json
import re
import textwrap
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from hivemark.cli.console import SafeConsole, one_line

PIPE_COLUMNS: Final = 200  # who reads a pipe cuts lines by himself
COPIED: Final = frozenset(
    {"id", "job", "execution", "public key", "models", "since", "created"}
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

    def say(self, text: str = "", *, style: str | None = None, whole: bool = False) -> None:
        """A line for people, broken between words on a terminal unless it is to be copied `whole`."""
        text = one_line(text)
        if self.people.is_terminal and not whole:
            text = _wrapped(text, self.people.width)
        self.people.print(text, style=style, highlight=False, soft_wrap=True, markup=False)

    def show(self, renderable: object) -> None:
        """A table or the like, for people."""
        self.people.print(renderable)

    def result(self, value: dict[str, Any]) -> None:
        """The one object that a program reads, on one line; nothing for people."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False), flush=True)


def open_output(*, as_json: bool) -> Output:
    """The output of one command."""
    console = SafeConsole(stderr=as_json, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    return Output(as_json=as_json, people=console)


def to_the_minute(at: str | None) -> str:
    """A time of the API as a table shows it, in UTC; programs get the whole of it."""
    return at[:16].replace("T", " ") if at else ""


def _wrapped(text: str, width: int) -> str:
    """Broken between words, below its second column or further in than it began; what has no space (a link,
    a digest) stays whole.
    """
    label = re.match(r" *(\S+ {2,})?", text)
    assert label is not None, "matches the empty text too"
    inset = " " * (label.end() if label.group(1) else label.end() + 2)
    return textwrap.fill(text, width, subsequent_indent=inset, break_long_words=False, break_on_hyphens=False)


def plain_table(*columns: str, title: str | None = None, numbers: tuple[str, ...] = ()) -> Table:
    """A table in the one look they all have; the columns named in `numbers` stand to the right."""
    table = Table(
        box=None, title=title, title_justify="left", title_style="bold", padding=(0, 2, 0, 0), pad_edge=False
    )
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            header_style="dim",
            no_wrap=column in COPIED,
            overflow="fold",
        )
    return table
