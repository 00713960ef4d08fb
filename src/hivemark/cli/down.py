"""`hivemark down`: stop what runs from this home, and nothing else."""

import typer

from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption
from hivemark.cli.output import open_output
from hivemark.cli.programs import exclusive
from hivemark.cli.services import COORDINATOR, HIVE, stop

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: hivemark down")
def down(home: HomeOption = HOME_DEFAULT, as_json: JsonOption = False) -> None:
    """Stop the hive and the coordinator of this home; running answers get a few seconds to finish.

    Nothing is lost: what did not finish is leased again after the next `hivemark up`.
    """
    folders = Home(home)
    folders.ensure_folders()
    output = open_output(as_json=as_json)
    with exclusive(folders.run / "lock"):
        stopped = [name for name in (HIVE, COORDINATOR) if stop(folders, name)]
    if not as_json:
        output.say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    output.result({"stopped": stopped})
