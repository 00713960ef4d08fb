"""Text of others cannot act on the terminal."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from hivemark.cli.console import SafeConsole

HOSTILE = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x00", "\x7f", "\r", "\u202e", "\u2066"]


def console(*, is_terminal: bool) -> tuple[SafeConsole, io.StringIO]:
    paper = io.StringIO()
    return SafeConsole(file=paper, width=60, force_terminal=is_terminal, color_system=None), paper


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_control_character_of_a_text_is_written(hostile: str, is_terminal: bool) -> None:
    table = Table("name")
    table.add_row(f"a{hostile}b")
    for renderable in (f"a{hostile}b", Text(f"a{hostile}b"), table):
        written, paper = console(is_terminal=is_terminal)
        written.print(renderable, markup=False, highlight=False)
        assert not set(paper.getvalue()) & (set(hostile[:1]) | {"\x1b", "\x07"})
        assert "a" in paper.getvalue()
        assert "b" in paper.getvalue()


def test_our_own_colours_and_line_breaks_stay() -> None:
    paper = io.StringIO()
    SafeConsole(file=paper, force_terminal=True, color_system="standard").print("one\ntwo", style="red")
    assert paper.getvalue() == "\x1b[31mone\x1b[0m\n\x1b[31mtwo\x1b[0m\n"
