"""`hivemark fsck`: compare everything that is stored with everything else that says the same."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import typer

from hivemark.cli.exits import EXIT_FAILED
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption
from hivemark.cli.output import Output, open_output
from hivemark.coordinator.config import load_settings
from hivemark.coordinator.store import FolderBlobStore, FolderTileStore, SqlStore, open_store
from hivemark.coordinator.store.fsck import check_database
from hivemark.coordinator.store.fsckhives import check_enrolments
from hivemark.coordinator.store.fscklog import check_log
from hivemark.coordinator.store.fsckreceipts import check_receipts
from hivemark.errors import NotFoundError
from hivemark.translog.policy import parse_policy

app = typer.Typer(add_completion=False)


@app.command(epilog="Examples: hivemark fsck · hivemark fsck --home /srv/hivemark --json")
def fsck(home: HomeOption = HOME_DEFAULT, as_json: JsonOption = False) -> None:
    """Replay the log and the book, and compare jobs, attempts, receipts, hives and files with each other.

    Repairs nothing, and may run beside the coordinator. Exit code 1 when a problem is found.
    """
    output = open_output(as_json=as_json)
    problems = list(_problems(Home(home), _Progress(output)))
    if not as_json:
        for problem in problems:
            output.say(f"✗ {problem}", style="red")
        if problems:
            output.say("next: hivemark down, keep a copy of the home, then restore a backup")
        else:
            output.say("✓ everything agrees", style="green")
    output.result({"problems": problems})
    if problems:
        raise typer.Exit(EXIT_FAILED)


def _problems(home: Home, progress: Callable[[str, int, int], None]) -> Iterator[str]:
    settings = load_settings(home.root)
    store: SqlStore = open_store(settings.database, network=_network_name(home.root), create=False)
    try:
        yield from check_database(store, progress=progress)
        policy = parse_policy(home.policy.read_bytes())
        for log in policy.logs[:1]:  # of a home's own policy: its one log
            yield from check_log(store, FolderTileStore(home.root / "log"), log.verifier, progress=progress)
        yield from check_enrolments(
            store, network=policy.network, service_key=policy.service_key, progress=progress
        )
        yield from check_receipts(store, FolderBlobStore(home.root / "blobs"), progress=progress)
    finally:
        store.close()


class _Progress:
    """One line per check, when it begins."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._check = ""

    def __call__(self, check: str, done: int, total: int) -> None:
        if check != self._check and done < total:
            self._check = check
            self._output.say(f"  {check}", style="dim")


def _network_name(root: Path) -> str:
    try:
        note = msgspec.json.decode((root / "network.json").read_bytes(), type=dict[str, object])
    except FileNotFoundError as error:
        raise NotFoundError(
            f"no coordinator has ever run in {root}", code="home_empty", hint="hivemark up, or --home FOLDER"
        ) from error
    return str(note["network"])
