"""The entry point: finds the command, and turns every ending into an exit code and a line that helps.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not verified, 130 interrupted.
"""

import importlib
import inspect
import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.completion import get_completion_inspect_parameters
from typer.core import TyperCommand, TyperGroup

from hivemark.cli.commands import COMMANDS, CommandEntry
from hivemark.cli.exits import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    exit_code_of,
    report_bug,
    report_error,
    system_error,
)
from hivemark.errors import HivemarkError

COMPLETE_VARIABLE: Final = "_HIVEMARK_COMPLETE"
_ENTRIES: Final = {entry.name: entry for entry in COMMANDS}


class LazyGroup(TyperGroup):
    """Lists commands from the table; loads the module of the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class decides
        return list(_ENTRIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        entry = _ENTRIES.get(cmd_name)
        if entry is None:
            return None
        return TyperCommand(name=entry.name, help=entry.summary, rich_help_panel=entry.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return (name, load_command(_ENTRIES[name]), rest) if name in _ENTRIES else (name, command, rest)


def load_command(entry: CommandEntry) -> Any:
    """The command itself, from its module."""
    command = typer.main.get_command(importlib.import_module(entry.module).app)
    command.name = entry.name
    for each in (command, *getattr(command, "commands", {}).values()):
        each.help = _unwrapped(each.help or "")
    return command


def _unwrapped(text: str) -> str:
    """Help whose paragraphs are one line each: the terminal's width breaks them, not the source's."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app = typer.Typer(
    cls=LazyGroup,
    name="hivemark",
    no_args_is_help=True,
    add_completion=False,  # `hivemark completion` shows the scripts
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]hivemark demo[/]. "
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 not verified, 130 interrupted.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # costs 30 ms that only this option needs

        typer.echo(f"hivemark {version('hivemark')}")
        raise typer.Exit


@app.callback()
def _hivemark(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Pool machines you own, borrow or rent into one AI service, and prove every result."""


def main() -> None:
    """Run the command line; never returns."""
    wants_json = "--json" in sys.argv
    if COMPLETE_VARIABLE in os.environ:
        get_completion_inspect_parameters()  # registers Typer's answers to the shells
    try:
        app(prog_name="hivemark")
    except HivemarkError as error:
        report_error(error, as_json=wants_json)
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        named = system_error(error)
        report_error(named, as_json=wants_json)
        sys.exit(exit_code_of(named))
    except Exception as error:  # noqa: BLE001 - the outermost layer of the command
        report_bug(error, as_json=wants_json)
        sys.exit(EXIT_FAILED)
