"""Pulling a model for a person: the bar, the lines instead of it, and how an interruption is told."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from yarl import URL

from hivemark.cli.output import Output
from hivemark.errors import InvalidError
from hivemark.models_local.files import size
from hivemark.models_local.folder import ModelFolder
from hivemark.models_local.pull import PREFERRED, Order, Pulled, pull
from hivemark.models_local.source import require_transport
from hivemark.models_local.transfer import Report
from hivemark.models_local.web import Hub, open_web
from hivemark.protocol.times import format_ms

TOKEN_VARIABLE: Final = "HF_TOKEN"  # no option: arguments are seen by every user of the machine
LINE_EVERY_S: Final = 5.0
WITH_LLAMA_CPP: Final = ("q4_k_m", *PREFERRED)


def run_pull(order: Order, folder: ModelFolder, output: Output, *, hub_url: str, stall_s: float) -> Pulled:
    """Pull and show how it goes; Ctrl-C says what is kept and how to go on."""
    hub = hub_of(hub_url)
    try:
        with progress_of(output) as report:
            return asyncio.run(_pull(order, folder, report, hub=hub, stall_s=stall_s))
    except KeyboardInterrupt:
        output.say("stopped; what is here is kept")
        output.say(f"next: {order.command} (goes on from there)")
        raise


def preferred_quantisations() -> tuple[str, ...]:
    """Which ones to suggest: what runs here, best first."""
    return WITH_LLAMA_CPP if find_spec("xllamacpp") else PREFERRED


def hub_of(text: str) -> Hub:
    """The hub's address, with the token of the environment for it."""
    try:
        url = URL(text.rstrip("/"))
        url.origin()
    except ValueError as error:
        raise InvalidError(f"{text} is no address", code="hub_malformed", field="HF_ENDPOINT") from error
    require_transport(url)
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidError(
            "it holds characters that no token has", code="token_malformed", field=TOKEN_VARIABLE
        )
    return Hub(url, token or None)


@contextmanager
def progress_of(output: Output) -> Iterator[Report]:
    """A bar that redraws itself on a terminal, a line now and then elsewhere."""
    if not output.is_live:
        yield _Lines(output)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.people, transient=True) as bars:
        yield _Bar(output, bars)


async def _pull(order: Order, folder: ModelFolder, report: Report, *, hub: Hub, stall_s: float) -> Pulled:
    async with open_web(hub=hub, stall_s=stall_s) as web:
        return await pull(order, folder, web, report=report, now=format_ms(time.time_ns() // 1_000_000))


class _Bar:
    def __init__(self, output: Output, bars: Progress) -> None:
        self._output = output
        self._bars = bars
        self._stage = ""
        self._task = bars.add_task("asking", total=None)

    def note(self, text: str) -> None:
        self._output.say(text)

    def progress(self, stage: str, done_bytes: int, total_bytes: int | None) -> None:
        if stage != self._stage:  # a new stage has a speed of its own
            self._bars.remove_task(self._task)
            self._stage, self._task = stage, self._bars.add_task(stage, total=total_bytes)
        self._bars.update(self._task, completed=done_bytes, total=total_bytes)


class _Lines:
    def __init__(self, output: Output) -> None:
        self._output = output
        self._said_at_s = time.monotonic()

    def note(self, text: str) -> None:
        self._output.say(text)

    def progress(self, stage: str, done_bytes: int, total_bytes: int | None) -> None:
        if time.monotonic() - self._said_at_s < LINE_EVERY_S:
            return
        self._said_at_s = time.monotonic()
        whole = "" if not total_bytes else f" of {size(total_bytes)} ({100 * done_bytes // total_bytes} %)"
        self._output.say(f"{stage}: {size(done_bytes)}{whole}")
