"""What a shell offers where a value is asked for: it has to be quick, and silent when there is nothing."""

import asyncio
import re
from pathlib import Path
from typing import Final

import typer

from hivemark.cli.connection import connect
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT
from hivemark.errors import HivemarkError

PATIENCE_S: Final = 1.0
# Shells evaluate what completion tells them: a name with anything else in it is for its owner to type.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+-]{0,127}")


def complete_model(ctx: typer.Context, incomplete: str) -> list[str]:
    """The models on offer that begin so; none when the coordinator does not answer at once."""
    home, url = ctx.params.get("home"), ctx.params.get("url")
    folders = Home(home if isinstance(home, Path) else HOME_DEFAULT)
    try:
        names = asyncio.run(_models(folders, url if isinstance(url, str) else None))
    except (HivemarkError, OSError, TimeoutError):
        return []  # an error has no place in the middle of somebody's command line
    return [name for name in names if name.startswith(incomplete) and _PLAIN.fullmatch(name)]


async def _models(home: Home, url: str | None) -> tuple[str, ...]:
    async with asyncio.timeout(PATIENCE_S), connect(home, url) as client:
        return tuple(dict.fromkeys(model.name for model in await client.models()))
