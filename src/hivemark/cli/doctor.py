"""`hivemark doctor`: what is in order on this machine, what is not, and what to do about it."""

import asyncio
import hashlib
import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import typer

from hivemark.cli.connection import connect
from hivemark.cli.exits import EXIT_FAILED, next_step
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, UrlOption
from hivemark.cli.output import Output, open_output
from hivemark.client.views import Health, Hive
from hivemark.errors import HivemarkError
from hivemark.models_shipped import shipped

app = typer.Typer(add_completion=False)

PYTHON_MIN: Final = (3, 11)
DISK_FAIL_BYTES: Final = 200 * 1_048_576
DISK_WARN_BYTES: Final = 2 * 1_073_741_824
MEMORY_WARN_BYTES: Final = 1_073_741_824  # what the demo may take
MARKS: Final = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


class Level(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do unless all is well."""

    name: str
    level: Level
    detail: str
    advice: str | None = None


@app.command(epilog="Examples: hivemark doctor · hivemark doctor --json")
def doctor(home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Look at everything that has to be in order, and say what to do where it is not.

    Changes nothing. Exit code 1 when something fails; a warning is no failure.
    """
    folders = Home(home)
    output = open_output(as_json=as_json)
    findings = []
    for finding in _findings(folders, url):
        findings.append(finding)
        if not as_json:
            _show(finding, output)
    worst = max(findings, key=lambda each: list(Level).index(each.level)).level
    output.result({"worst": worst, "findings": [asdict(finding) for finding in findings]})
    if worst is Level.FAIL:
        raise typer.Exit(EXIT_FAILED)


def _show(finding: Finding, output: Output) -> None:
    mark, style = MARKS[finding.level]
    output.say(f"{mark} {finding.name:<12} {finding.detail}", style=style)
    if finding.advice and finding.level is not Level.OK:
        output.say(f"               next: {finding.advice}")


def _findings(home: Home, url: str | None) -> Iterator[Finding]:
    yield _python()
    yield _processor()
    yield _memory()
    yield _disk(home)
    yield from _permissions(home)
    yield from _models()
    yield from _network(home, url)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < PYTHON_MIN:
        return Finding("python", Level.FAIL, version, "install Python 3.11 or newer")
    return Finding("python", Level.OK, f"{version} on {platform.system()} {platform.machine()}")


def _processor() -> Finding:
    cores = psutil.cpu_count() or 1
    flags = _cpu_flags()
    if flags is None:
        return Finding("processor", Level.OK, f"{cores} cores; its flags cannot be told here")
    if "avx2" not in flags and platform.machine() in ("x86_64", "AMD64"):
        return Finding(
            "processor", Level.WARN, f"{cores} cores without AVX2", "models run, but several times slower"
        )
    return Finding("processor", Level.OK, f"{cores} cores" + (", AVX2" if "avx2" in flags else ""))


def _cpu_flags() -> frozenset[str] | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(lines[0].partition(":")[2].split()) if lines else None


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    detail = f"{available / 2**30:.1f} GiB available"
    if available < MEMORY_WARN_BYTES:
        return Finding("memory", Level.WARN, detail, "close something, or start fewer hives")
    return Finding("memory", Level.OK, detail)


def _disk(home: Home) -> Finding:
    place = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / 2**30:.1f} GiB free for {home.root}"
    if free < DISK_FAIL_BYTES:
        return Finding("disk", Level.FAIL, detail, "make room, or name another folder with --home")
    if free < DISK_WARN_BYTES:
        return Finding("disk", Level.WARN, detail, "outputs and the log grow: make room soon")
    return Finding("disk", Level.OK, detail)


def _permissions(home: Home) -> Iterator[Finding]:
    if not home.root.exists():
        yield Finding("home", Level.OK, f"{home.root} does not exist yet: the first `hivemark up` makes it")
        return
    if not os.access(home.root, os.W_OK | os.X_OK):
        yield Finding("home", Level.FAIL, f"{home.root} is not yours to write", "chown it, or use --home")
        return
    yield Finding("home", Level.OK, str(home.root))
    exposed = [path for path in _secrets(home) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in exposed:
        yield Finding("keys", Level.FAIL, f"{path} may be used by others", f"chmod 0400 {path}")
    if not exposed:
        keys = len(list(_secrets(home)))
        yield Finding("keys", Level.OK, f"{keys} key files, none open to others" if keys else "no keys yet")


def _secrets(home: Home) -> Iterator[Path]:
    yield from sorted(home.keys.glob("*.key"))
    yield from sorted(home.hive.glob("*.key"))


def _models() -> Iterator[Finding]:
    for model in shipped():
        try:
            digest = hashlib.sha256(model.path.read_bytes()).hexdigest()
        except OSError as error:
            yield Finding("models", Level.FAIL, f"{model.name}: {error.strerror}", "install hivemark again")
            continue
        if digest != model.weights_sha256:
            advice = "install hivemark again: this file is not the one that was shipped"
            yield Finding("models", Level.FAIL, f"{model.name} has digest {digest[:12]}…", advice)
        else:
            yield Finding("models", Level.OK, f"{model.name} is intact ({digest[:12]}…)")


def _network(home: Home, url: str | None) -> Iterator[Finding]:
    address = url or home.coordinator_url()
    try:
        health, hives = asyncio.run(_ask(home, address))
    except HivemarkError as error:
        yield from _unreachable(address, error)
        return
    level = Level.OK if health.status == "ok" else Level.FAIL
    yield Finding("coordinator", level, f"{health.status} at {address}", "hivemark status")
    yield Finding("clock", Level.OK, "the coordinator took a signature with our time in it")
    linked = [hive for hive in hives if hive.linked]
    if linked:
        yield Finding("hives", Level.OK, f"{len(linked)} of {len(hives)} linked")
    else:
        yield Finding("hives", Level.WARN, "none is linked: jobs would wait", "hivemark logs hive")


def _unreachable(url: str, error: HivemarkError) -> Iterator[Finding]:
    if error.code == "signature_expired":
        advice = "set the clock (timedatectl set-ntp true)"
        yield Finding("clock", Level.FAIL, "this clock and the coordinator's differ by over 60 s", advice)
    elif error.code == "coordinator_unreachable" and _is_taken(url):
        yield Finding("port", Level.FAIL, f"something else holds {url}", "hivemark up --listen 127.0.0.1:0")
    elif error.code == "coordinator_unreachable":
        yield Finding("coordinator", Level.WARN, f"nothing runs at {url}", "hivemark up")
    else:
        yield Finding("coordinator", Level.FAIL, f"{url}: {error}", next_step(error))


def _is_taken(url: str) -> bool:
    """Whether the port cannot be bound although nothing there speaks to us."""
    parts = urlsplit(url)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((parts.hostname or "127.0.0.1", parts.port or 80))
        except OSError:
            return True
    return False


async def _ask(home: Home, url: str) -> tuple[Health, tuple[Hive, ...]]:
    async with connect(home, url) as client:
        return await client.health(), await client.hives()
