"""A console on which text of others cannot act: names, answers and errors come from strangers."""

from collections.abc import Iterable
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_HARMLESS: Final = "\n\t"
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))  # C0, DEL and C1: escapes, bells, titles
_DIRECTIONS: Final = (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))  # reorder a line
_SHOWN_AS: Final = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*_CONTROLS, *_DIRECTIONS) if chr(code) not in _HARMLESS
}


def harmless(text: str) -> str:
    """Text whose controls act on nothing; lines and tabs stay."""
    return text.translate(_SHOWN_AS)


def one_line(text: str) -> str:
    """A message as one line that acts on nothing, so that it can fake no second one."""
    return " ".join(text.splitlines()).translate(_SHOWN_AS)


class SafeConsole(Console):
    """Rich's own control codes pass; control characters inside any text become U+FFFD."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text made harmless before it is measured, so that columns keep their width."""
        return super().render_str(text.translate(_SHOWN_AS), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What would be written for `renderable`, made harmless."""
        for segment in super().render(renderable, options):
            if segment.control is None:
                yield Segment(segment.text.translate(_SHOWN_AS), segment.style)
            else:
                yield segment
