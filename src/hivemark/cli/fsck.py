"""`hivemark fsck`: compare everything that is stored with everything else that says the same."""

from pathlib import Path

import msgspec
import typer

from hivemark.cli.exits import EXIT_FAILED
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption
from hivemark.cli.output import Output, open_output
from hivemark.coordinator.config import load_settings
from hivemark.coordinator.store import open_store
from hivemark.coordinator.store.fsck import check_database
from hivemark.errors import NotFoundError

app = typer.Typer()


@app.command(epilog="Examples: hivemark fsck · hivemark fsck --home /srv/hivemark --json")
def fsck(home: HomeOption = HOME_DEFAULT, as_json: JsonOption = False) -> None:
    """Replay the book and compare jobs, attempts and log with each other; repairs nothing.

    May run beside the coordinator. Exit code 1 when a problem is found.
    """
    output = open_output(as_json=as_json)
    problems = _problems(Home(home), output)
    if not as_json:
        for problem in problems:
            output.say(f"✗ {problem}", style="red")
        if problems:
            output.say(
                "next: stop the coordinator (hivemark down), keep a copy of the home, restore a backup"
            )
        else:
            output.say("✓ everything agrees", style="green")
    output.result({"problems": problems})
    if problems:
        raise typer.Exit(EXIT_FAILED)


def _problems(home: Home, output: Output) -> list[str]:
    settings = load_settings(home.root)
    store = open_store(settings.database, network=_network_name(home.root), create=False)
    try:
        return check_database(store, progress=lambda check, done, total: _show(output, check, done, total))
    finally:
        store.close()


def _show(output: Output, check: str, done: int, total: int) -> None:
    if done < total:
        output.say(f"  {done + 1}/{total} {check}", style="dim")


def _network_name(root: Path) -> str:
    try:
        note = msgspec.json.decode((root / "network.json").read_bytes(), type=dict[str, object])
    except FileNotFoundError as error:
        raise NotFoundError(
            f"no coordinator has ever run in {root}", code="home_empty", hint="hivemark up, or --home FOLDER"
        ) from error
    return str(note["network"])
