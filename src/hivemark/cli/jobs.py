"""`hivemark jobs`: list, show, watch and cancel jobs; download their receipts."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hivemark.cli.connection import connect
from hivemark.cli.evidence import save_bundles, verify_saved
from hivemark.cli.exits import EXIT_FAILED
from hivemark.cli.following import follow_job
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, PolicyOption, UrlOption
from hivemark.cli.output import Output, open_output, plain_table, to_the_minute
from hivemark.cli.summary import (
    Rules,
    answers_table,
    job_line,
    measure,
    rules_of,
    summary_rows,
    summary_table,
)
from hivemark.cli.trust import pinned_policy
from hivemark.client.sdk import HivemarkClient
from hivemark.client.views import Execution, Job

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, show, watch and cancel jobs; download their receipts.",
)

LOGGED_WAIT_S: Final = 30.0
JobArgument = Annotated[str, typer.Argument(help="The job's id, or the id in its spec.")]


@app.command(epilog="Examples: hivemark jobs ls · hivemark jobs ls -n 100 --json")
def ls(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200)] = 20,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest jobs."""
    jobs = asyncio.run(_list(Home(home), url, limit))
    output = open_output(as_json=as_json)
    table = plain_table("job", "spec", "state", "done", "created", numbers=("done",))
    for job in jobs:
        done = f"{job.progress.completed}/{job.progress.cells}"
        table.add_row(job.id, job.spec_id, job.state, done, to_the_minute(job.created_at))
    if not as_json:
        if jobs:
            output.show(table)
        else:
            output.say("no job yet; next: hivemark run --question basics -m hivemark-tiny-a")
    output.result({"jobs": [_job_object(job) for job in jobs]})


@app.command(epilog="Example: hivemark jobs show job_01k…")
def show(
    job: JobArgument, home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Show a job: its answers, a summary by model and region, what it waits for, and what failed."""
    view, rules = asyncio.run(_job(Home(home), url, job))
    output = open_output(as_json=as_json)
    if not as_json:
        _show_job(view, rules, output)
    summary = summary_rows(measure(view.executions, rules))
    output.result({**_job_object(view), "waiting_for": list(view.waiting_for), "summary": summary})


@app.command(epilog="Example: hivemark jobs watch job_01k…")
def watch(
    job: JobArgument, home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Follow a job to its end; exit code 1 unless it completes."""
    output = open_output(as_json=as_json)
    view = asyncio.run(_watch(Home(home), url, job, output))
    output.say(job_line(view))
    output.result(_job_object(view))
    if view.state != "completed":
        raise typer.Exit(EXIT_FAILED)


@app.command(epilog="Example: hivemark jobs cancel job_01k…")
def cancel(
    job: JobArgument, home: HomeOption = HOME_DEFAULT, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Call off what has not finished; what has is kept, paid and proven."""
    view = asyncio.run(_cancel(Home(home), url, job))
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(job_line(view))
    output.result(_job_object(view))


@app.command(epilog="Example: hivemark jobs receipts job_01k… -o receipts/")
def receipts(
    job: JobArgument,
    folder: Annotated[Path, typer.Option("--output", "-o", help="One file per execution.", file_okay=False)],
    policy: PolicyOption = None,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download every receipt with its proof, and check them; exit code 3 when one does not verify."""
    trusted = pinned_policy(Home(home), policy)
    paths = asyncio.run(_receipts(Home(home), url, job, folder))
    verified = verify_saved(paths, trusted, folder=folder)
    output = open_output(as_json=as_json)
    if not as_json:
        output.say(f"saved {len(paths)} receipts in {folder}")
        output.say(verified.line)
        output.say(f"next: hivemark verify {folder}", whole=True)
    output.result({"job": job, "receipts": [str(path) for path in paths], "verified": verified.count})
    verified.require_all()


def _show_job(job: Job, rules: Rules, output: Output) -> None:
    output.say(job_line(job), style="bold")
    for reason in job.waiting_for:
        output.say(f"  waiting for {reason}", style="yellow")
    if any(each.output is not None for each in job.executions):
        output.show(answers_table(job.executions, rules))
        output.say()
    output.show(summary_table(measure(job.executions, rules)))
    failed = [each for each in job.executions if each.failure is not None and each.state != "completed"]
    if failed:
        output.say()
        output.show(_failures_table(failed))


def _failures_table(executions: list[Execution]) -> Any:
    table = plain_table("execution", "state", "attempts", "stage", "code", "what happened")
    for each in executions:
        assert each.failure is not None, "only failed executions are listed"
        failure = each.failure
        table.add_row(each.id, each.state, str(each.attempts), failure.stage, failure.code, failure.message)
    return table


def _job_object(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "spec_id": job.spec_id,
        "state": job.state,
        "executions": job.progress.cells,
        "completed": job.progress.completed,
        "failed": job.progress.failed,
        "dead": job.progress.dead,
        "cancelled": job.progress.cancelled,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "held": job.credits.held,
        "settled": job.credits.settled,
    }


async def _list(home: Home, url: str | None, limit: int) -> tuple[Job, ...]:
    async with connect(home, url) as client:
        return (await client.jobs(limit=limit)).jobs


async def _job(home: Home, url: str | None, job: str) -> tuple[Job, Rules]:
    async with connect(home, url) as client:
        return await client.job(job, executions=True), await _rules(client)


async def _rules(client: HivemarkClient) -> Rules:
    return rules_of(await client.questions())


async def _watch(home: Home, url: str | None, job: str, output: Output) -> Job:
    async with connect(home, url) as client:
        return await follow_job(client, job, output)


async def _cancel(home: Home, url: str | None, job: str) -> Job:
    async with connect(home, url) as client:
        return await client.cancel(job)


async def _receipts(home: Home, url: str | None, job: str, folder: Path) -> list[Path]:
    async with connect(home, url) as client:
        view = await client.job(job, executions=True)
        return await save_bundles(client, view, folder, wait_s=LOGGED_WAIT_S)
