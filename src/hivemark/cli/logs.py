"""`hivemark logs`: what the programs of this home said."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hivemark.cli.exits import fail
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption

app = typer.Typer(add_completion=False)

POLL_PAUSE_S: Final = 0.3
TAIL_BYTES_MAX: Final = 1_048_576
Show = Callable[[str, str], None]


@app.command(epilog="Examples: hivemark logs · hivemark logs hive -n 200 · hivemark logs coordinator -f")
def logs(
    name: Annotated[str | None, typer.Argument(help="coordinator or hive; default: both.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    home: HomeOption = HOME_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show the last log lines with the program's name before them; with --json one object a line."""
    folder = Home(home).logs
    files = sorted(path for path in folder.glob("*.log") if name is None or path.stem == name)
    if not files:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "none yet"
        fail(f"no log of {name or 'anything'} in {folder} (there are: {known})", next_command="hivemark up")
    show = _show_object if as_json else _show_line
    ends = {path: _show_tail(path, lines, show) for path in files}
    while follow:
        time.sleep(POLL_PAUSE_S)
        ends = {path: _show_since(path, end, show) for path, end in ends.items()}


def _show_line(program: str, line: str) -> None:
    typer.echo(f"{program}: {line}")


def _show_object(program: str, line: str) -> None:
    """The line as the program wrote it, an object; what is none (a trace) as `text`."""
    try:
        said: Any = json.loads(line)
    except ValueError:
        said = None
    typer.echo(json.dumps({"program": program, **(said if isinstance(said, dict) else {"text": line})}))


def _show_tail(path: Path, lines: int, show: Show) -> int:
    """Print the last lines; answers the size up to which was read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL_BYTES_MAX))
        raw = file.read(TAIL_BYTES_MAX)
    shown = raw.decode("utf-8", "replace").splitlines()
    for line in shown[len(shown) - lines :] if lines < len(shown) else shown:
        show(path.stem, line)
    return size


def _show_since(path: Path, end: int, show: Show) -> int:
    """Print the whole lines that came after `end`; a file that shrank was put aside, so it starts anew."""
    start = end if path.stat().st_size >= end else 0
    for line in _whole_lines(path, start):
        start += len(line)
        show(path.stem, line.decode("utf-8", "replace").rstrip())
    return start


def _whole_lines(path: Path, start: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield line
