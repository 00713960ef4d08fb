"""`hivemark up`: a network of one's own on this machine."""

import asyncio
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from hivemark.api.joinlink import parse_join_link
from hivemark.cli.api_keys import export_lines, make_key, openai_environment
from hivemark.cli.apikey_file import load_token, save_token
from hivemark.cli.connection import connect
from hivemark.cli.home import Home
from hivemark.cli.join import is_enrolled, machine_name
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption
from hivemark.cli.output import Output, open_output
from hivemark.cli.programs import Child, Program, exclusive, start_alone, start_child
from hivemark.cli.services import (
    COORDINATOR,
    HIVE,
    coordinator_program,
    hive_program,
    is_running,
    log_file,
    pid_file,
    stay_with,
)
from hivemark.errors import HivemarkError
from hivemark.hive.enrol import enrol

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Examples: hivemark up · hivemark up --listen 0.0.0.0:8090 · hivemark up --no-hive --foreground"
)
def up(
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            help="HOST:PORT; default 127.0.0.1:8090. An address that others reach, such as 0.0.0.0:8090, is "
            "served by TLS; programs of this machine then have one of their own.",
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option("--database-url", help="sqlite:///… or postgresql://…; default: in the home."),
    ] = None,
    with_hive: Annotated[bool, typer.Option("--hive/--no-hive", help="Also work on this machine.")] = True,
    region: Annotated[
        str | None, typer.Option("--region", help="Where this machine stands, as you claim.")
    ] = None,
    slots: Annotated[int, typer.Option("--slots", min=1, max=64, help="Executions at once.")] = 1,
    foreground: Annotated[
        bool, typer.Option("--foreground", "-f", help="Stay, show the logs, stop everything on Ctrl-C.")
    ] = False,
    home: HomeOption = HOME_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Start a coordinator and a hive in the background; what runs already is left alone.

    The first start makes the keys, a policy and an admin token, which is shown once. It listens on this
    machine only; with `--listen 0.0.0.0:8090` other machines may join too: a certificate authority of this
    home's own is made, and `hivemark hives link` prints the line to paste there.
    """
    folders = Home(home)
    folders.ensure_folders()
    output = open_output(as_json=as_json)
    starter = _Starter(folders, output, foreground=foreground)
    with ExitStack() as stack:
        stack.enter_context(exclusive(folders.run / "lock"))
        first_start = starter.start(
            COORDINATOR, coordinator_program(folders, listen=listen, database_url=database_url)
        ).get("first_start")
        _show_coordinator(folders, first_start, output)  # at once: what is shown once must not be lost
        if with_hive:
            if not is_enrolled(folders):
                _enrol_here(folders, region=region, slots=slots)
            starter.start(HIVE, hive_program(folders))
        is_key_new = _ensure_api_key(folders, output)
        _report(folders, first_start, output, with_hive=with_hive, is_key_new=is_key_new)
    if foreground:
        stay_with(starter.children)


class _Starter:
    """Starts what does not run yet, as our children or on its own."""

    def __init__(self, home: Home, output: Output, *, foreground: bool) -> None:
        self.children: list[Child] = []
        self._home = home
        self._output = output
        self._foreground = foreground

    def start(self, name: str, program: Program) -> dict[str, Any]:
        """What the program said when it was ready; nothing when it ran before."""
        if is_running(self._home, name):
            self._output.say(f"the {name} runs already")
            return {}
        if self._foreground:
            self.children.append(start_child(program, log=None))
            return dict(self.children[-1].ready)
        log = log_file(self._home, name)
        return dict(start_alone(program, log=log, pid_file=pid_file(self._home, name)))


def _enrol_here(home: Home, *, region: str | None, slots: int) -> None:
    link = asyncio.run(_join_link(home))
    enrol(home.hive, parse_join_link(link), name=machine_name(), region=region, slots=slots)


def _ensure_api_key(home: Home, output: Output) -> bool:
    """An API key for the programs of this machine; whether it was made now. A network without one works all
    the same, so a refusal is told and nothing else."""
    if home.api_key.exists():
        return False
    try:
        made = asyncio.run(make_key(home, None, "default", {}))
    except HivemarkError as error:
        output.say(f"no API key was made: {error} ({error.code}); next: hivemark api-keys create --save")
        return False
    save_token(home.api_key, made.token)
    return True


async def _join_link(home: Home) -> str:
    async with connect(home, None) as client:
        return (await client.join_link(ttl_s=300, local=True)).link


def _show_openai(home: Home, output: Output, *, with_token: bool) -> None:
    """What to paste for OpenAI clients; into a pipe (a journal, perhaps) the token goes once at most."""
    output.say("for programs that speak OpenAI's API:")
    if with_token:
        variables = openai_environment(home.coordinator_url(), load_token(home.api_key))
        for line in export_lines(variables):
            output.say(f"  {line}", whole=True)
    else:
        output.say('  eval "$(hivemark api-keys env)"', whole=True)
    output.say()


def _show_coordinator(home: Home, first_start: dict[str, Any] | None, output: Output) -> None:
    if output.as_json:
        return
    output.say(f"listening on {home.coordinator_url()}", style="bold")
    if (public := home.public_url()) is not None:
        output.say(f"for other machines: {public}   (TLS; its authority: {home.authority})")
    if first_start:
        output.say()
        output.say("made at this first start:")
        output.say(f"  admin token   {first_start['admin_token']}   (shown this once; kept as a digest only)")
        output.say(f"  account key   {home.account_key}   (signs your jobs; nobody else can read it)")
        output.say(f"  policy        {first_start['policy_fingerprint']}   (give it to whoever verifies)")
    output.say()


def _report(
    home: Home,
    first_start: dict[str, Any] | None,
    output: Output,
    *,
    with_hive: bool,
    is_key_new: bool,
) -> None:
    url = home.coordinator_url()
    api_key = str(home.api_key) if home.api_key.exists() else None
    output.result(
        {
            "url": url,
            "public_url": home.public_url(),
            "home": str(home.root),
            "hive": with_hive,
            "first_start": first_start,
        }
        | {"openai_base_url": f"{url}/v1", "api_key_file": api_key}
    )
    if output.as_json:
        return
    if api_key is not None:
        _show_openai(home, output, with_token=is_key_new or output.people.is_terminal)
    output.say("next: hivemark run -q 'What is the capital of Peru?' -m hivemark-tiny-a")
    output.say("      hivemark hives link     (a link with which another machine joins)")
    output.say("      hivemark status, hivemark logs -f, hivemark down")
