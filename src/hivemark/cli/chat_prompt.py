"""The line that a person edits: history over the arrow keys, completion by Tab (readline)."""

import os
import readline
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

HISTORY_LINES: Final = 1_000
CONTINUED: Final = "\\"


class Prompt:
    """Reads questions. With a `history` file they are there again the next time, for the owner alone."""

    def __init__(self, history: Path | None, complete: Callable[[str], Sequence[str]]) -> None:
        self._history = history
        self._complete = complete
        self._found: Sequence[str] = ()

    def open(self) -> None:
        """Bring back the history, and let Tab complete."""
        readline.set_history_length(HISTORY_LINES)
        if self._history is not None and self._history.exists():
            readline.read_history_file(self._history)
        readline.set_completer(self._candidate)
        readline.set_completer_delims("")  # the whole line is completed: `/model nam` is one thing
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")

    def close(self) -> None:
        """Keep the history; the file is closed to others before anything is in it."""
        if self._history is None:
            return
        before = os.umask(0o077)
        try:
            readline.write_history_file(self._history)
            self._history.chmod(0o600)  # also a file that was there with other rights
        finally:
            os.umask(before)

    def read(self) -> str | None:
        """The next question; a line that ends with a backslash goes on in the next. None at Ctrl-D."""
        lines = []
        try:
            line = input("> ")
            while line.endswith(CONTINUED):
                lines.append(line.removesuffix(CONTINUED))
                line = input("… ")
        except EOFError:
            return None
        return "\n".join([*lines, line])

    def _candidate(self, text: str, number: int) -> str | None:
        if number == 0:
            self._found = [each for each in self._complete(text) if each.startswith(text)]
        return self._found[number] if number < len(self._found) else None
