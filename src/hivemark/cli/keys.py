"""`hivemark keys`: make, show and trust keys; sign and verify JobSpecs."""

import asyncio
import secrets
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from hivemark.cli.connection import account_key, connect
from hivemark.cli.exits import fail
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, UrlOption
from hivemark.cli.output import open_output, plain_table, to_the_minute
from hivemark.client.views import TrustedKey
from hivemark.protocol.ids import account_id
from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec, verify_jobspec
from hivemark.protocol.keyfile import load_private_key, save_private_key, save_private_key_pem
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.strictjson import parse_json_object
from hivemark.protocol.times import format_ms

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Make, show and trust keys; sign and verify jobs."
)

KeyOption = Annotated[
    Path | None,
    typer.Option("--key", "-k", help="A key file; default: the account key of this home.", dir_okay=False),
]
STDIO: Final = Path("-")


class KeyForm(StrEnum):
    """How a private key is written (spec/keys 3); both are read wherever a key is taken."""

    JSON = "json"
    PEM = "pem"


@app.command(
    epilog="Examples: hivemark keys new -o auditor.key · hivemark keys new --format pem -o auditor.pem"
)
def new(
    home: HomeOption = HOME_DEFAULT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it here instead of into this home.")
    ] = None,
    form: Annotated[
        KeyForm,
        typer.Option("--format", help="Ours, or PKCS#8 PEM as OpenSSL reads it; every command takes both."),
    ] = KeyForm.JSON,
    as_json: JsonOption = False,
) -> None:
    """Make an Ed25519 key; it never overwrites another, and only you can read it."""
    folders = Home(home)
    if output is None:
        folders.ensure_folders()
    path = output or folders.account_key
    key = PrivateKey.generate(secrets.token_bytes)
    if form is KeyForm.PEM:
        save_private_key_pem(path, key)
    else:
        save_private_key(path, key, created=format_ms(_now_ms()), owner_id=account_id(key.public.raw))
    _show_key(key, path, as_json=as_json)


@app.command(epilog="Example: hivemark keys show --json")
def show(home: HomeOption = HOME_DEFAULT, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Show the public half of a key: what you may give to everybody."""
    path = key or Home(home).account_key
    _show_key(_load(Home(home), key), path, as_json=as_json)


@app.command(epilog="Example: hivemark keys ls")
def ls(home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the keys whose jobs the coordinator takes."""
    keys = asyncio.run(_keys(Home(home), url))
    output = open_output(as_json=as_json)
    table = plain_table("id", "public key", "status", "since")
    for key in keys:
        table.add_row(key.key_id or "", key.public_key, key.status, to_the_minute(key.added_at))
    if not as_json:
        output.show(table)
    output.result({"keys": [_as_dict(key) for key in keys]})


@app.command(epilog="Example: hivemark keys trust 7Pz…= --id alice")
def trust(
    public_key: Annotated[str, typer.Argument(help="As `hivemark keys show` prints it there.")],
    key_id: Annotated[str | None, typer.Option("--id", help="A name for people.")] = None,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the holder of a key submit jobs to this coordinator."""
    trusted = asyncio.run(_trust(Home(home), url, public_key, key_id))
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(f"trusted: {trusted.public_key} (account {trusted.account})")
    output.result(_as_dict(trusted))


@app.command(epilog="Example: hivemark keys sign job.json -o job.signed.json")
def sign(
    file: Annotated[Path, typer.Argument(help="A JobSpec; - reads stdin.", allow_dash=True)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: stdout.")] = None,
    home: HomeOption = HOME_DEFAULT,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a JobSpec: fills in public key, timestamp and nonce where they are missing."""
    value = parse_json_object(_read(file))
    raw = sign_jobspec(value, _load(Home(home), key), now_ms=_now_ms(), random=secrets.token_bytes)
    if output is not None:
        output.write_bytes(raw + b"\n")
    elif not as_json:
        sys.stdout.buffer.write(raw + b"\n")
    signed = parse_jobspec(raw)
    told = open_output(as_json=as_json)
    if output is not None and not as_json:
        told.say(f"signed: {signed.spec.id} by {signed.public_key.fingerprint}")
        told.say(f"next: hivemark run {output}", whole=True)
    told.result(
        {
            "id": signed.spec.id,
            "spec_sha256": signed.spec_sha256,
            "public_key": signed.public_key.base64,
            "path": None if output is None else str(output),
            "spec": parse_json_object(raw),
        }
    )


@app.command(epilog="Example: hivemark keys verify job.signed.json")
def verify(
    file: Annotated[Path, typer.Argument(help="A signed JobSpec; - reads stdin.", allow_dash=True)],
    as_json: JsonOption = False,
) -> None:
    """Check the signature of a JobSpec; exit code 3 when it does not hold."""
    signed = parse_jobspec(_read(file))
    verify_jobspec(signed)
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(f"verified: {signed.spec.id} is signed by {signed.public_key.base64}")
    output.result(
        {"verified": True, "id": signed.spec.id, "public_key": signed.public_key.base64}
        | {"spec_sha256": signed.spec_sha256}
    )


async def _keys(home: Home, url: str | None) -> tuple[TrustedKey, ...]:
    async with connect(home, url) as client:
        return await client.keys()


async def _trust(home: Home, url: str | None, public_key: str, key_id: str | None) -> TrustedKey:
    async with connect(home, url) as client:
        return await client.trust_key(public_key, key_id=key_id)


def _show_key(key: PrivateKey, path: Path, *, as_json: bool) -> None:
    facts = {
        "public_key": key.public.base64,
        "fingerprint": key.public.fingerprint,
        "account": account_id(key.public.raw),
        "path": str(path),
    }
    output = open_output(as_json=as_json)
    if not as_json:
        for name, text in facts.items():
            output.say(f"{name.replace('_', ' '):<12} {text}")
    output.result(facts)


def _as_dict(key: TrustedKey) -> dict[str, str | None]:
    return {
        "key_id": key.key_id,
        "public_key": key.public_key,
        "account": key.account,
        "status": key.status,
        "added_at": key.added_at,
    }


def _load(home: Home, key: Path | None) -> PrivateKey:
    return account_key(home) if key is None else load_private_key(key)


def _read(file: Path) -> bytes:
    if file == STDIO:
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", next_command="check the path")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
