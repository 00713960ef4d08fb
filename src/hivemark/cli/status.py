"""`hivemark status`: what runs here, and whether it is well."""

import asyncio
from typing import Any

import typer

from hivemark.cli.connection import connect
from hivemark.cli.exits import EXIT_FAILED, next_step
from hivemark.cli.hives import hive_object, hives_table
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, UrlOption
from hivemark.cli.output import Output, open_output, plain_table
from hivemark.cli.programs import running
from hivemark.cli.services import NAMES, pid_file
from hivemark.client.views import Health, Hive
from hivemark.errors import HivemarkError

app = typer.Typer(add_completion=False)


@app.command(epilog="Examples: hivemark status · hivemark status --json")
def status(home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show this home's programs, the coordinator's health and its hives; exit code 1 unless all is well."""
    folders = Home(home)
    output = open_output(as_json=as_json)
    programs = {name: _program(folders, name) for name in NAMES}
    address = url or folders.coordinator_url()
    try:
        health, hives = asyncio.run(_ask(folders, address))
    except HivemarkError as error:
        _report_silence(address, programs, error, output)
        raise typer.Exit(EXIT_FAILED) from error
    output.result(
        {
            "url": address,
            "programs": programs,
            "health": {"status": health.status, "version": health.version, "network": health.network}
            | {"dependencies": health.dependencies},
            "hives": [hive_object(hive) for hive in hives],
        }
    )
    if not as_json:
        _show(address, programs, health, hives, output)
    if health.status != "ok":
        raise typer.Exit(EXIT_FAILED)


async def _ask(home: Home, url: str) -> tuple[Health, tuple[Hive, ...]]:
    async with connect(home, url) as client:
        return await client.health(), await client.hives()


def _program(home: Home, name: str) -> dict[str, Any]:
    process = running(pid_file(home, name))
    return {"running": process is not None, "pid": None if process is None else process.pid}


def _show(
    url: str, programs: dict[str, dict[str, Any]], health: Health, hives: tuple[Hive, ...], output: Output
) -> None:
    style = "bold green" if health.status == "ok" else "bold yellow"
    output.say(f"{health.status}  {url}  network {health.network}  version {health.version}", style=style)
    table = plain_table("part", "state", "details")
    for name, program in programs.items():
        table.add_row(name, "running" if program["running"] else "not here", f"pid {program['pid'] or '–'}")
    for name, facts in health.dependencies.items():
        details = ", ".join(
            f"{key} {value}" for key, value in facts.items() if key != "status" and value is not None
        )
        table.add_row(name, str(facts.get("status", "")), details)
    output.show(table)
    if hives:
        output.show(hives_table(hives))
    else:
        output.say("no hive has joined; next: hivemark up, or hivemark hives link for another machine")


def _report_silence(
    url: str, programs: dict[str, dict[str, Any]], error: HivemarkError, output: Output
) -> None:
    output.result({"url": url, "programs": programs, "health": None, "error": error.code, "hives": []})
    if output.as_json:
        return
    for name, program in programs.items():
        output.say(
            f"{name}: {'running, pid ' + str(program['pid']) if program['running'] else 'not running'}"
        )
    output.say(f"{error.message} ({error.code})", style="red")
    if advice := next_step(error):
        output.say(f"next: {advice}")
