"""`hivemark run`: sign a job, submit it, watch it, and verify its receipts."""

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hivemark.cli.completing import complete_model
from hivemark.cli.connection import account_key, connect
from hivemark.cli.evidence import Verified, save_bundles, verify_saved
from hivemark.cli.exits import EXIT_FAILED, EXIT_USAGE, fail
from hivemark.cli.following import follow_job
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, PolicyOption, UrlOption
from hivemark.cli.output import Output, open_output, plain_table
from hivemark.cli.questions import choose_questions
from hivemark.cli.summary import (
    Rules,
    answers_table,
    job_line,
    measure,
    rules_of,
    summary_rows,
    summary_table,
)
from hivemark.cli.trust import ensure_policy
from hivemark.client.benchmarks import Benchmark, build_spec
from hivemark.client.sdk import HivemarkClient
from hivemark.client.views import Job, Submitted
from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec
from hivemark.protocol.strictjson import JsonObject, parse_json_object

app = typer.Typer(add_completion=False)

BUNDLES_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line, apart from the job itself."""

    url: str | None
    policy: Path | None
    yes: bool
    wait: bool
    folder: Path | None


@app.command(
    epilog="Examples: hivemark run --question basics --model hivemark-tiny-a --repeats 2 · "
    "hivemark run -q 'What is the capital of Peru?' -m hivemark-tiny-a · hivemark run job.json -o receipts/"
)
def run(
    file: Annotated[
        Path | None,
        typer.Argument(help="A JobSpec; signed here unless it is already.", exists=True, dir_okay=False),
    ] = None,
    question: Annotated[
        list[str] | None,
        typer.Option("--question", "-q", help="A question's id, the name of a set, or the question itself."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="As `hivemark models ls` lists.", autocompletion=complete_model),
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option("--region", "-r", help="Where to run; default: anywhere, once.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", "-n", min=1, max=100)] = 1,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, max=32_768, help="Per answer.")] = 64,
    temperature: Annotated[float, typer.Option("--temperature", "-t", min=0, max=2)] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    job_id: Annotated[str | None, typer.Option("--id", help="Default: made from name and time.")] = None,
    name: Annotated[str, typer.Option("--name", help="The benchmark's name.")] = "ad-hoc",
    public: Annotated[
        bool | None,
        typer.Option("--public/--private", help="Who may read the answers; default: as the network has it."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    output_folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the receipts here.", file_okay=False)
    ] = None,
    list_questions: Annotated[
        bool, typer.Option("--list-questions", help="Show the questions there are, and stop.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Pin the network's policy without asking.")
    ] = False,
    policy: PolicyOption = None,
    home: HomeOption = HOME_DEFAULT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a job with this home's account key, submit it, watch it, and verify its receipts.

    Exit code 1 when the job failed, 3 when a receipt does not verify.
    """
    output = open_output(as_json=as_json)
    folders = Home(home)
    if list_questions:
        asyncio.run(_show_questions(folders, url, output))
        return
    benchmark = None
    if file is None and not question:
        fail(
            "nothing to run: name a JobSpec file or at least one --question",
            next_command="hivemark run --list-questions",
            code=EXIT_USAGE,
        )
    if file is None:
        visibility = None if public is None else "public" if public else "private"
        benchmark = Benchmark(
            id=job_id or f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}",
            name=name,
            questions=tuple(question or ()),
            models=tuple(model or ()),
            regions=tuple(region or ()),
            repeats=repeats,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            visibility=visibility,
        )
    wishes = Wishes(url=url, policy=policy, yes=yes, wait=wait, folder=output_folder)
    asyncio.run(_run(folders, file, benchmark, wishes, output))


async def _run(
    home: Home, file: Path | None, benchmark: Benchmark | None, wishes: Wishes, output: Output
) -> None:
    async with connect(home, wishes.url) as client:
        if benchmark is not None:
            spec = _signed(home, build_spec(await _complete(client, benchmark)))
        else:
            assert file is not None, "without a file there is a benchmark"
            spec = _signed(home, parse_json_object(file.read_bytes()), raw=file.read_bytes())
        submitted = await client.submit(spec, idempotency_key=secrets.token_hex(16))
        output.say(
            f"submitted {submitted.id}: {submitted.executions} executions, {submitted.held} credits held"
        )
        if not wishes.wait:
            output.result(_submitted_object(submitted))
            return
        try:
            job = await follow_job(client, submitted.id, output)
        except asyncio.CancelledError:
            output.say(f"the job goes on without you; next: hivemark jobs watch|cancel {submitted.id}")
            raise
        rules = rules_of(await client.questions(), parse_jobspec(spec).spec.questions)
        verified = await _verify(home, client, job, wishes)
    _report(job, rules, verified, output)


def _signed(home: Home, value: JsonObject, *, raw: bytes | None = None) -> bytes:
    """The bytes to post: signed here, unless somebody has signed already."""
    if raw is not None and value.get("signature"):
        return raw
    return sign_jobspec(
        value, account_key(home), now_ms=time.time_ns() // 1_000_000, random=secrets.token_bytes
    )


async def _complete(client: HivemarkClient, benchmark: Benchmark) -> Benchmark:
    """Names made sure of before anything is signed; a model is chosen only when there is no choice."""
    offered = [model.name for model in await client.models()]
    if not benchmark.models and len(offered) != 1:
        listed = ", ".join(offered) or "none: no hive is linked"
        fail(
            f"which model? offered are: {listed}", next_command="hivemark run --model NAME …", code=EXIT_USAGE
        )
    questions = choose_questions(benchmark.questions, await client.questions())
    return replace(benchmark, models=benchmark.models or tuple(offered), questions=questions)


async def _verify(home: Home, client: HivemarkClient, job: Job, wishes: Wishes) -> Verified:
    policy = await ensure_policy(home, client, wishes.policy, yes=wishes.yes)
    folder = wishes.folder or home.root / "receipts" / job.id
    paths = await save_bundles(client, job, folder, wait_s=BUNDLES_WAIT_S)
    return verify_saved(paths, policy, folder=folder)


def _report(job: Job, rules: Rules, verified: Verified, output: Output) -> None:
    summary = measure(job.executions, rules)
    if not output.as_json:
        output.say()
        if any(execution.question for execution in job.executions):  # a noop asks none
            output.show(answers_table(job.executions, rules))
            output.say()
        output.show(summary_table(summary))
        output.say()
        output.say(job_line(job))
        output.say(verified.line)
        output.say(f"receipts: {verified.folder}")
    output.result(
        {
            "job": job.id,
            "state": job.state,
            "executions": job.progress.cells,
            "completed": job.progress.completed,
            "receipts_verified": verified.count,
            "receipts_refused": len(verified.refused),
            "receipts": str(verified.folder),
            "summary": summary_rows(summary),
        }
    )
    verified.require_all()
    if job.state != "completed":
        raise typer.Exit(EXIT_FAILED)


async def _show_questions(home: Home, url: str | None, output: Output) -> None:
    async with connect(home, url) as client:
        questions = await client.questions()
    table = plain_table("id", "category", "question")
    for question in questions:
        table.add_row(question.id, question.category or "", question.text or "")
    if not output.as_json:
        output.show(table)
    output.result({"questions": [{"id": each.id, "text": each.text} for each in questions]})


def _submitted_object(submitted: Submitted) -> dict[str, Any]:
    return {
        "job": submitted.id,
        "state": submitted.status,
        "executions": submitted.executions,
        "held": submitted.held,
    }
