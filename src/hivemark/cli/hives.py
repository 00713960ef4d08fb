"""`hivemark hives`: the machines that work here, and the links with which more may join."""

import asyncio
import io
from typing import Annotated, Any

import segno
import typer
from rich.table import Table

from hivemark.api.joinlink import parse_join_link
from hivemark.cli.connection import connect
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, UrlOption
from hivemark.cli.output import open_output, plain_table
from hivemark.client.views import Hive, JoinLink

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Which machines work here; links with which more may join.",
)


@app.command(epilog="Example: hivemark hives ls")
def ls(home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the hives: where they claim to be, whether they are linked, what they do."""
    hives = asyncio.run(_hives(Home(home), url))
    output = open_output(as_json=as_json)
    if not as_json:
        output.show(hives_table(hives))
    output.result({"hives": [hive_object(hive) for hive in hives]})


@app.command(epilog="Example: hivemark hives link, then on the other machine: hivemark join 'LINK'")
def link(
    ttl_s: Annotated[
        int, typer.Option("--ttl-s", min=60, max=604_800, help="How long it is good for.")
    ] = 3600,
    host: Annotated[
        str | None,
        typer.Option("--host", help="Another address under which this machine is reached."),
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="For another home on this machine.")] = False,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show it as a QR code too, in a terminal.")] = True,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a link with which one machine may join once. It is a secret until it is used.

    It carries where the coordinator is, and the fingerprints of its key and of the certificate authority that
    vouches for the connection: whoever joins by it cannot be led to another.
    """
    made = asyncio.run(_link(Home(home), url, ttl_s, local=local, host=host))
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(made.link, whole=True)
        output.say(f"good for one machine until {made.expires_at}", style="dim")
        parsed = parse_join_link(made.link)
        if parsed.authority_sha256 is not None and qr and output.people.is_terminal:
            output.say(qr_text(made.link), whole=True)
        if not parsed.tls:
            output.say("it works on this machine alone: others need hivemark up --listen 0.0.0.0:8090")
        output.say("next, on that machine:")
        output.say("pip install hivemark", whole=True)
        output.say(f"hivemark join '{made.link}'", whole=True)
    output.result({"link": made.link, "expires_at": made.expires_at})


@app.command(epilog="Examples: hivemark hives drain hive_7q… · hivemark hives drain hive_7q… --off")
def drain(
    hive: Annotated[str, typer.Argument(help="Its id, as `hivemark hives ls` shows it.")],
    off: Annotated[bool, typer.Option("--off", help="Give it work again.")] = False,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a hive finish what it does and give it nothing more, as before a restart."""
    asyncio.run(_drain(Home(home), url, hive, on=not off))
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(f"{hive} {'gets work again' if off else 'finishes what it does and gets no more'}")
    output.result({"hive": hive, "draining": not off})


@app.command(epilog="Example: hivemark hives remove hive_7q…")
def remove(
    hive: Annotated[str, typer.Argument(help="Its id, as `hivemark hives ls` shows it.")],
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a hive's membership; its work goes to others, and the log says so."""
    asyncio.run(_revoke(Home(home), url, hive))
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(f"revoked: {hive}")
    output.result({"revoked": hive})


def hives_table(hives: tuple[Hive, ...]) -> Table:
    """A line per hive, and one more for each further model."""
    table = plain_table("hive", "region", "state", "busy", "models", "id", numbers=("busy",))
    for hive in hives:
        region = hive.region_claimed or "–"
        simulated = " (simulated)" if "region" in hive.simulated else ""
        names = "\n".join(model.name for model in hive.models)
        busy = f"{hive.running}/{hive.slots}"
        table.add_row(hive.name, region + simulated, _state(hive), busy, names, hive.id)
    return table


def hive_object(hive: Hive) -> dict[str, Any]:
    """The same for programs."""
    return {
        "id": hive.id,
        "name": hive.name,
        "region": hive.region_claimed,
        "state": _state(hive),
        "slots": hive.slots,
        "running": hive.running,
        "models": [model.name for model in hive.models],
        "simulated": list(hive.simulated),
        "last_contact_at": hive.last_contact_at,
    }


def _state(hive: Hive) -> str:
    if hive.status != "active":
        return hive.status
    if not hive.linked:
        return "not linked"
    return "draining" if hive.draining else "linked"


async def _hives(home: Home, url: str | None) -> tuple[Hive, ...]:
    async with connect(home, url) as client:
        return await client.hives()


async def _link(home: Home, url: str | None, ttl_s: int, *, local: bool, host: str | None) -> JoinLink:
    async with connect(home, url) as client:
        return await client.join_link(ttl_s=ttl_s, local=local, host=host)


async def _drain(home: Home, url: str | None, hive: str, *, on: bool) -> None:
    async with connect(home, url) as client:
        await client.drain_hive(hive, on=on)


def qr_text(link: str) -> str:
    """For a camera, drawn with half blocks; light on dark terminals and dark on light ones alike."""
    drawn = io.StringIO()
    segno.make(link, error="l").terminal(out=drawn, border=2, compact=True)
    return drawn.getvalue()


async def _revoke(home: Home, url: str | None, hive: str) -> None:
    async with connect(home, url) as client:
        await client.revoke_hive(hive)
