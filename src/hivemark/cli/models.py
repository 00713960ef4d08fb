"""`hivemark models`: what the hives offer."""

import asyncio
from typing import Any

import typer

from hivemark.cli.connection import connect
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, UrlOption
from hivemark.cli.output import open_output, plain_table
from hivemark.client.views import Model

app = typer.Typer(add_completion=False)


@app.command(epilog="Examples: hivemark models · hivemark models --json")
def models(home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the models on offer. A pinned model is named by the digest of its weights; an unpinned one by its
    name alone, and then nobody can say which weights answered."""
    offered = asyncio.run(_models(Home(home), url))
    output = open_output(as_json=as_json)
    table = plain_table(
        "model", "weights", "engine", "context", "size", "hives", "loaded",
        numbers=("context", "size", "hives", "loaded"),
    )  # fmt: skip
    for model in offered:
        table.add_row(
            model.name,
            f"{model.weights_sha256[:12]}…" if model.weights_sha256 else "unpinned",
            model.engine or "–",
            "–" if model.context_tokens is None else f"{model.context_tokens:,}",
            "–" if model.bytes is None else f"{model.bytes / 1e6:,.1f} MB",
            str(model.hives),
            str(model.loaded),
        )
    if not as_json:
        if offered:
            output.show(table)
        else:
            output.say("no model is offered: no hive is linked. next: hivemark status")
    output.result({"models": [_object(model) for model in offered]})


def _object(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "weights_sha256": model.weights_sha256,
        "engine": model.engine,
        "quantisation": model.quantisation,
        "context_tokens": model.context_tokens,
        "bytes": model.bytes,
        "hives": model.hives,
        "loaded": model.loaded,
    }


async def _models(home: Home, url: str | None) -> tuple[Model, ...]:
    async with connect(home, url) as client:
        return await client.models()
