"""`hivemark join`: let this machine work for a coordinator."""

import platform
import re
from typing import Annotated

import typer

from hivemark.api.certificates import AUTHORITY_NAME
from hivemark.api.joinlink import JoinLink, parse_join_link, show_fingerprint
from hivemark.cli.exits import fail
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption
from hivemark.cli.output import open_output
from hivemark.cli.programs import exclusive, start_alone, start_child
from hivemark.cli.services import HIVE, hive_program, is_running, log_file, pid_file, stay_with
from hivemark.errors import NotFoundError
from hivemark.hive.config import load_config
from hivemark.hive.enrol import enrol

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Example: hivemark join 'hivemark://127.0.0.1:8090/join?t=…&k=…&n=home-1a2b3c4d' --region EU"
)
def join(
    link: Annotated[
        str, typer.Argument(help="As `hivemark hives link` prints it on the coordinator's machine.")
    ],
    region: Annotated[
        str | None, typer.Option("--region", help="Where this machine stands, as you claim.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="For people; default: this machine's name.")
    ] = None,
    slots: Annotated[int, typer.Option("--slots", min=1, max=256, help="Executions at once.")] = 1,
    foreground: Annotated[
        bool, typer.Option("--foreground", "-f", help="Stay, show the log, stop on Ctrl-C.")
    ] = False,
    home: HomeOption = HOME_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Enrol this machine's hive and start it in the background.

    The link says which key the coordinator must prove to have; a coordinator with another key is refused.
    The key that is made here never leaves this machine.
    """
    parsed = parse_join_link(link)
    folders = Home(home)
    folders.ensure_folders()
    _require_free(folders, parsed)
    output = open_output(as_json=as_json)
    with exclusive(folders.run / "lock"):
        if not is_enrolled(folders):
            joined = enrol(folders.hive, parsed, name=name or machine_name(), region=region, slots=slots)
            _pin_policy(folders, joined.policy)
            _pin_authority(folders)
        program = hive_program(folders)
        if foreground:
            child = start_child(program, log=None)
            ready = child.ready
        else:
            log = log_file(folders, HIVE)
            ready = start_alone(program, log=log, pid_file=pid_file(folders, HIVE))
    if not as_json:
        output.say(f"joined {parsed.network} as {ready['hive']}", style="bold")
        output.say(f"the coordinator proved to have the key {parsed.fingerprint}", style="dim")
        if parsed.authority_sha256 is not None:
            shown = show_fingerprint(parsed.authority_sha256)
            output.say(f"connections are believed only under the authority {shown}", style="dim")
        output.say("next: hivemark logs hive -f, hivemark down")
    output.result({"network": parsed.network, "hive": ready["hive"], "home": str(folders.hive)})
    if foreground:
        stay_with([child])


def machine_name() -> str:
    """This machine's name in the letters that a hive's name may have."""
    name = re.sub(r"[^A-Za-z0-9 ._-]", "-", platform.node()).lstrip(" ._-")[:63]
    return name or "local"


def is_enrolled(home: Home) -> bool:
    """Whether this home has a hive that has joined some network."""
    try:
        load_config(home.hive)
    except NotFoundError:
        return False
    return True


def _pin_policy(home: Home, policy: str) -> None:
    """Trusted from now on: the coordinator proved to have the key that the link names. Never overwritten."""
    if not home.policy.exists():
        home.policy.write_text(policy, encoding="utf-8")


def _pin_authority(home: Home) -> None:
    """For this machine's other programs, which may ask the coordinator too. Never overwritten."""
    pinned = home.hive / AUTHORITY_NAME
    if pinned.exists() and not home.authority.exists():
        home.authority.parent.mkdir(mode=0o700, exist_ok=True)
        home.authority.write_bytes(pinned.read_bytes())


def _require_free(home: Home, link: JoinLink) -> None:
    if is_running(home, HIVE):
        fail("a hive of this home runs already", next_command="hivemark down, then join again")
    if is_enrolled(home) and (network := load_config(home.hive).coordinator.network) != link.network:
        fail(
            f"this home's hive belongs to {network}", next_command="hivemark join LINK --home ANOTHER_FOLDER"
        )
