"""`hivemark api-keys`: what an OpenAI client needs to ask in this account's name, within limits."""

import asyncio
import re
import shlex
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from hivemark.cli.apikey_file import forget_token, load_token, save_token
from hivemark.cli.connection import account_key, connect
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, UrlOption
from hivemark.cli.output import open_output, plain_table, to_the_minute
from hivemark.client.sdk import HivemarkClient
from hivemark.client.views import ApiKey, MadeApiKey

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="API keys for OpenAI clients: make, limit, list and revoke them.",
)
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_duration_s(text: str) -> int:
    """Seconds of `45s`, `30m`, `12h`, `30d` or `2w`."""
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no duration such as 12h, 30d or 2w")
    return int(match[1]) * _UNITS_S[match[2]]


@app.command(
    epilog="Examples: hivemark api-keys create --name editor --budget 5 --rpm 60 --expires 30d · "
    "hivemark api-keys create --scope inference --model hivemark-tiny-a"
)
def create(
    name: Annotated[str, typer.Option("--name", help="For people: what the key is for.")] = "unnamed",
    budget: Annotated[
        str | None, typer.Option("--budget", help="Credits it may spend in all; default: no limit.")
    ] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, help="Requests per minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=1, help="Tokens per minute.")] = None,
    expires: Annotated[
        int | None,
        typer.Option(
            "--expires",
            parser=parse_duration_s,
            metavar="DURATION",
            help="When it ends: 12h, 30d, 2w; default: never.",
        ),
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="inference, read; may be repeated; default: both."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="The models it may ask; may be repeated; default: all."),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Also keep it as this home's key, for `env` and `chat`.")
    ] = False,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key. Its token is shown this once; the coordinator keeps a digest of it."""
    limits = {
        "scopes": scopes or None,
        "models": models or None,
        "budget": budget,
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "ttl_s": expires,
    }
    folders = Home(home)
    made = asyncio.run(make_key(folders, url, name, limits))
    if save:
        save_token(folders.api_key, made.token)
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(made.token, whole=True)
        output.say(f"{made.id}: {', '.join(_allowed(made))}", style="dim")
        if save:
            output.say(f"kept in {folders.api_key}, which only you can read")
        else:
            output.say("shown this once; keep it like a password")
    output.result(msgspec.to_builtins(made) | {"saved": str(folders.api_key) if save else None})


@app.command(epilog="Examples: hivemark api-keys ls · hivemark api-keys ls --all --json")
def ls(
    show_all: Annotated[bool, typer.Option("--all", help="Also revoked and expired ones.")] = False,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys: what they may, what they have spent, when they were last used."""
    keys = asyncio.run(_keys(Home(home), url))
    shown = [key for key in keys if show_all or key.status == "active"]
    output = open_output(as_json=as_json)
    if not as_json:
        if shown:
            output.show(_table(shown))
        else:
            output.say("no API key is active; next: hivemark api-keys create --name NAME")
        if len(shown) < len(keys):
            output.say(f"{len(keys) - len(shown)} revoked or expired not shown (--all)", style="dim")
    output.result({"api_keys": [msgspec.to_builtins(key) for key in shown]})


@app.command(epilog="Example: hivemark api-keys revoke key_01m8…")
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `hivemark api-keys ls` shows it.")],
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key for good: open streams under it end within a second, accepted jobs go on."""
    folders = Home(home)
    ended = asyncio.run(_revoke(folders, url, key))
    forgotten = forget_token(folders.api_key, ended.token_start)
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(f"revoked: {ended.id} ({ended.name})")
        if forgotten:
            output.say("it was this home's key; next: hivemark api-keys create --save")
    output.result(msgspec.to_builtins(ended) | {"forgotten": forgotten})


@app.command(epilog='Example: eval "$(hivemark api-keys env)"')
def env(home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Print the two lines that point OpenAI clients here, with this home's key: a secret."""
    folders = Home(home)
    variables = openai_environment(url or folders.coordinator_url(), load_token(folders.api_key))
    output = open_output(as_json=as_json)
    if not as_json:
        for line in export_lines(variables):
            output.say(line, whole=True)
    output.result(dict(variables))


def openai_environment(url: str, token: str) -> dict[str, str]:
    """The variables that OpenAI's clients read."""
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": token}


def export_lines(variables: dict[str, str]) -> list[str]:
    """The same for a shell."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


async def make_key(home: Home, url: str | None, name: str, limits: dict[str, Any]) -> MadeApiKey:
    """Ask the coordinator for a key of this home's account; `limits` as `HivemarkClient.make_api_key`."""
    async with _as_account(home, url) as client:
        return await client.make_api_key(name, **limits)


async def _keys(home: Home, url: str | None) -> tuple[ApiKey, ...]:
    async with _as_account(home, url) as client:
        return await client.api_keys()


async def _revoke(home: Home, url: str | None, key: str) -> ApiKey:
    async with _as_account(home, url) as client:
        return await client.revoke_api_key(key)


def _as_account(home: Home, url: str | None) -> HivemarkClient:
    """Keys belong to an account, so there must be one to sign as."""
    account_key(home)
    return connect(home, url)


def _table(keys: list[ApiKey]) -> Table:
    """What belongs together stands under each other, so that it fits into 80 columns."""
    table = plain_table("key", "may", "spent", "last used", "expires", numbers=("spent",))
    table.columns[0].no_wrap = True  # ids are copied
    for key in keys:
        state = key.status if key.status != "active" else _date_over_time(key.expires_at)
        name = f"{key.name} ({key.token_start}…)\n{key.id}"
        last_used = _date_over_time(key.last_used_at)
        table.add_row(name, "\n".join(_allowed(key)), _spent(key), last_used, state)
    return table


def _date_over_time(at: str | None) -> str:
    return to_the_minute(at).replace(" ", "\n") or "never"


def _allowed(key: ApiKey) -> list[str]:
    """Scopes, rates and models in a few words."""
    allowed = [", ".join(key.scopes)]
    if key.requests_per_minute is not None:
        allowed.append(f"{key.requests_per_minute} requests/min")
    if key.tokens_per_minute is not None:
        allowed.append(f"{key.tokens_per_minute} tokens/min")
    return [*allowed, *(key.models or ())]


def _spent(key: ApiKey) -> str:
    spent = _short(key.spent)
    return spent if key.budget is None else f"{spent} of {_short(key.budget)}"


def _short(credits_text: str) -> str:
    """`5.000000` as `5`."""
    return credits_text.rstrip("0").rstrip(".") if "." in credits_text else credits_text
