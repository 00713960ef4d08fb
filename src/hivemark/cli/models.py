"""`hivemark models`: fetch, list, show and remove models; what is here and what the network offers."""

import asyncio
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from hivemark.cli.connection import connect
from hivemark.cli.exits import next_step
from hivemark.cli.home import Home
from hivemark.cli.localmodels import (
    Kind,
    LocalModel,
    Unfinished,
    find_local,
    local_models,
    names_taken,
    unfinished_pulls,
)
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, UrlOption
from hivemark.cli.output import Output, open_output, plain_table
from hivemark.cli.pulling import preferred_quantisations, run_pull
from hivemark.cli.services import HIVE, is_running
from hivemark.client.views import Model
from hivemark.errors import ConflictError, HivemarkError
from hivemark.hive.llama import llama_trouble
from hivemark.models_local.files import size
from hivemark.models_local.folder import ModelFolder
from hivemark.models_local.pull import TRIES_MAX, Order, Pulled, require_sha256
from hivemark.models_local.removal import remove
from hivemark.models_local.source import parse_source, require_name

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Fetch, list, show and remove models; what is here and what the hives offer.",
)

HUB_URL: Final = "https://huggingface.co"
NameArgument = Annotated[str, typer.Argument(help="As `hivemark models ls` shows it.")]


@app.command(epilog="Examples: hivemark models ls · hivemark models ls --here · hivemark models ls --json")
def ls(
    here: Annotated[bool, typer.Option("--here", help="Only this machine; asks no coordinator.")] = False,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models on this machine, and apart from them what the hives of the network offer.

    A pinned model is named by the digest of its weights; an unpinned one by its name alone, and then nobody
    can say which weights answered.
    """
    folders = Home(home)
    output = open_output(as_json=as_json)
    models, parts = local_models(folders), unfinished_pulls(folders)
    offered: tuple[Model, ...] | None = None
    trouble: HivemarkError | None = None
    if not here:
        try:
            offered = asyncio.run(_offered(folders, url))
        except HivemarkError as error:  # what is here can be told without anybody
            trouble = error
    if not as_json:
        _show_here(models, parts, output)
        if not here:
            _show_offered(offered, trouble, url or folders.coordinator_url(), output)
    output.result(
        {
            "here": [model.as_object() for model in models],
            "unfinished": [_unfinished_object(part) for part in parts],
            "offered": None if offered is None else [_offered_object(model) for model in offered],
            "offered_error": None if trouble is None else {"code": trouble.code, "message": trouble.message},
        }
    )


@app.command(
    epilog="Examples: hivemark models pull hf:ORG/REPO · "
    "hivemark models pull hf:ORG/REPO:Q8_0 --name small · "
    "hivemark models pull https://HOST/m.gguf --sha256 … · "
    "hivemark models pull file:/media/disk/m.gguf"
)
def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="hf:org/repo, hf:org/repo@revision:file, https://… or file:…", show_default=False
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Its name here; default: made of the file's.")
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", help="The digest that the file must have; hf: tells it by itself."),
    ] = None,
    stall_s: Annotated[
        float, typer.Option("--stall-s", min=0.1, max=3600, help="Try again after so long without a byte.")
    ] = 60.0,
    tries: Annotated[
        int, typer.Option("--tries", min=1, max=100, help="Give up after so many in a row got nothing.")
    ] = TRIES_MAX,
    hub_url: Annotated[
        str, typer.Option("--hub", envvar="HF_ENDPOINT", help="Where hf: points to.")
    ] = HUB_URL,
    home: HomeOption = HOME_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model file (GGUF) to this machine, verify it, and let this machine's hive offer it.

    hf: is a repository on the Hugging Face hub; several files and none named is an error that lists them.
    Its commit is pinned and its digest checked. HF_TOKEN, for private files and terms, goes to the hub alone.

    Whatever interrupts it, the same command goes on where it stopped. A hive that runs here offers the model
    within seconds.
    """
    folders = Home(home)
    folders.ensure_folders()
    output = open_output(as_json=as_json)
    order = Order(
        source=parse_source(source),
        source_text=source,
        name=None if name is None else require_name(name),
        sha256=None if sha256 is None else require_sha256(sha256),
        taken=names_taken(folders),
        preferred=preferred_quantisations(),
        tries_max=tries,
    )
    pulled = run_pull(order, ModelFolder(folders.models), output, hub_url=hub_url, stall_s=stall_s)
    model = find_local(folders, pulled.record.name)
    if not as_json:
        _show_pulled(pulled, model, output, hive_runs=is_running(folders, HIVE))
    output.result({**model.as_object(), "was_here": pulled.was_here})


@app.command(epilog="Example: hivemark models show hivemark-tiny-a")
def show(name: NameArgument, home: HomeOption = HOME_DEFAULT, as_json: JsonOption = False) -> None:
    """Show what a model on this machine is: where from, which digests, which engines compute it."""
    model = find_local(Home(home), name)
    output = open_output(as_json=as_json)
    if not as_json:
        for label, text in _rows(model):
            output.say(f"{label:<14} {text}", whole=True)
    output.result(model.as_object())


@app.command(epilog="Examples: hivemark models rm small · hivemark models rm small --force")
def rm(
    name: NameArgument,
    force: Annotated[bool, typer.Option("--force", help="Also while a hive has it loaded.")] = False,
    home: HomeOption = HOME_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Remove a pulled model, or what there is of an unfinished one; a running hive offers it no longer."""
    folders = Home(home)
    if name in names_taken(folders):
        model = find_local(folders, name)
        hint = "shipped_models = false" if model.kind is Kind.SHIPPED else "take its [[models]] table out"
        raise ConflictError(
            f"{name} is {names_taken(folders)[name]} and was not pulled",
            code="model_not_pulled",
            hint=f"to stop offering it: {hint} in {folders.hive / 'hive.toml'}",
        )
    freed = remove(ModelFolder(folders.models), require_name(name), force=force)
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(f"removed {name}: {size(freed)} are free again")
    output.result({"removed": name, "bytes": freed})


def _show_here(models: tuple[LocalModel, ...], parts: tuple[Unfinished, ...], output: Output) -> None:
    table = plain_table(
        "model", "came", "weights", "quantisation", "parameters", "context", "size", "own engine",
        title="On this machine", numbers=("parameters", "context", "size"),
    )  # fmt: skip
    for model in models:
        facts = model.facts
        table.add_row(
            model.name,
            str(model.kind),
            _short(model.sha256),
            (facts.quantisation if facts else None) or "–",
            _millions(facts.parameters if facts else None),
            _number(facts.context_tokens if facts else None),
            "–" if model.size_bytes is None else size(model.size_bytes),
            "yes" if model.problem is None else f"no: {model.problem}",
        )
    output.show(table)
    for part in parts:
        whole = "" if part.total_bytes is None else f" of {size(part.total_bytes)}"
        output.say(
            f"unfinished: {part.name}, {size(part.size_bytes)}{whole} from {part.origin or 'somewhere'}"
        )
        output.say(f"  next: the same hivemark models pull again, or hivemark models rm {part.name}")


def _show_offered(
    offered: tuple[Model, ...] | None, trouble: HivemarkError | None, url: str, output: Output
) -> None:
    output.say()
    if trouble is not None:
        output.say(f"Offered in the network: not known. {trouble.message} ({trouble.code})")
        output.say(f"next: {next_step(trouble)}")
    elif offered:
        output.show(_offered_table(offered, f"Offered in the network ({url})"))
    else:
        output.say("Offered in the network: nothing, for no hive is linked. next: hivemark status")


def _offered_table(offered: tuple[Model, ...], title: str) -> Table:
    table = plain_table(
        "model", "weights", "engine", "context", "size", "hives", "loaded",
        title=title, numbers=("context", "size", "hives", "loaded"),
    )  # fmt: skip
    for model in offered:
        table.add_row(
            model.name,
            _short(model.weights_sha256) if model.weights_sha256 else "unpinned",
            model.engine or "–",
            _number(model.context_tokens),
            "–" if model.bytes is None else size(model.bytes),
            str(model.hives),
            str(model.loaded),
        )
    return table


def _show_pulled(pulled: Pulled, model: LocalModel, output: Output, *, hive_runs: bool) -> None:
    output.say(f"{model.name} {'is here already' if pulled.was_here else 'is here'}", style="bold")
    for label, text in _rows(model):
        output.say(f"{label:<14} {text}", whole=True)
    trouble = llama_trouble()
    if model.problem is not None and trouble is not None:
        output.say("this machine's own engine does not compute it; llama.cpp could, but " + trouble)
        output.say("next: that, then hivemark down and up; or serve the file with Ollama, LM Studio or")
        output.say(f"      llama-server: their models are offered too; or hivemark models rm {model.name}")
    elif hive_runs:
        output.say(
            f"next: hivemark run -q 'Who are you?' -m {model.name} (the hive offers it within seconds)"
        )
    else:
        output.say("next: hivemark up (its hive offers the model)")


def _rows(model: LocalModel) -> list[tuple[str, str]]:
    facts = model.facts
    rows: list[tuple[str, str | None]] = [("name", model.name), ("came", str(model.kind))]
    if model.origin is not None:
        rows += [("source", model.origin), ("pulled", model.pulled_at)]
    rows += [
        ("file", str(model.path)),
        (
            "size",
            None if model.size_bytes is None else f"{size(model.size_bytes)} ({model.size_bytes:,} bytes)",
        ),
        ("weights", model.sha256 and f"sha256:{model.sha256}"),
    ]
    if facts is not None:
        rows += [
            ("title", facts.title),
            ("licence", facts.licence),
            ("architecture", facts.architecture),
            ("quantisation", facts.quantisation),
            ("parameters", f"{facts.parameters:,}"),
            ("context", f"{facts.context_tokens:,} tokens" if facts.context_tokens else None),
            ("vocabulary", f"{facts.vocabulary:,} tokens" if facts.vocabulary else None),
            ("tokenizer", facts.tokenizer and f"{facts.tokenizer} sha256:{facts.tokenizer_sha256}"),
            ("template", facts.template_sha256 and f"sha256:{facts.template_sha256}"),
        ]
    rows.append(("own engine", "computes it" if model.problem is None else f"no: {model.problem}"))
    return [(label, text or "–") for label, text in rows]


def _short(digest: str | None) -> str:
    return f"{digest[:12]}…" if digest else "–"


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _millions(count: int | None) -> str:
    if count is None:
        return "–"
    return f"{count / 1e9:,.1f} B" if count >= 1_000_000_000 else f"{count / 1e6:,.1f} M"


def _offered_object(model: Model) -> dict[str, Any]:
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


def _unfinished_object(part: Unfinished) -> dict[str, Any]:
    return {
        "name": part.name,
        "bytes": part.size_bytes,
        "total_bytes": part.total_bytes,
        "origin": part.origin,
    }


async def _offered(home: Home, url: str | None) -> tuple[Model, ...]:
    async with connect(home, url) as client:
        return await client.models()
