"""`hivemark demo`: the whole chain on this machine in under a minute, and three attempts to cheat it."""

import asyncio
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from hivemark.cli.demo_network import REGIONS, DemoNetwork
from hivemark.cli.demo_report import Outcome, Refusal, show_answers, show_conclusion, show_refusal
from hivemark.cli.evidence import Verified, save_bundles, verify_saved
from hivemark.cli.exits import EXIT_FAILED
from hivemark.cli.following import follow_job
from hivemark.cli.forgeries import Forgery, forge
from hivemark.cli.home import Home
from hivemark.cli.memory import PeakMemory
from hivemark.cli.options import JsonOption
from hivemark.cli.output import Output, open_output
from hivemark.cli.summary import Rules, rules_of
from hivemark.client.benchmarks import Benchmark, build_spec
from hivemark.client.verify import verify_bundle
from hivemark.client.views import Job
from hivemark.errors import UnverifiedError
from hivemark.jobs.questions import load_question_sets, question_set
from hivemark.models_shipped import shipped
from hivemark.protocol.bundle import parse_bundle
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.keyfile import load_private_key
from hivemark.translog.policy import Policy, parse_policy

app = typer.Typer(add_completion=False)

QUESTION_SET: Final = "demo"
QUESTIONS: Final = 8
REPEATS: Final = 2
MAX_TOKENS: Final = 96
TEMPERATURE: Final = 0.7
SEED: Final = 2026
LOGGED_WAIT_S: Final = 20.0


@app.command(
    epilog="Examples: hivemark demo · hivemark demo --home ./demo (keeps everything) · hivemark demo --json"
)
def demo(
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            envvar="HIVEMARK_HOME",
            help="Keep everything in a new folder below this one; default: a temporary one.",
            file_okay=False,
            resolve_path=True,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a coordinator and three hives, run a signed benchmark of 96 executions on two small models, show
    what they answered, check every receipt offline, and watch three forgeries being refused.

    The regions are simulated: all three hives run on this machine. Nothing leaves it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # also when the terminal is closed
        signal.signal(number, _leave)
    output = open_output(as_json=as_json)
    try:
        with _demo_home(home) as folder:
            _demo(folder, output, is_kept=home is not None)
    except KeyboardInterrupt:
        left = "what was made is kept" if home is not None else "nothing is left behind"
        output.say(f"interrupted: every program is stopped, {left}")
        raise


def _demo(home: Home, output: Output, *, is_kept: bool) -> None:
    start = time.monotonic()
    phases = _Phases(output, start)
    with PeakMemory() as memory, DemoNetwork(home) as network:
        phases.begin("Starting a coordinator and three hives")
        network.start_coordinator()
        policy = parse_policy(home.policy.read_bytes())
        output.say(f"  network {policy.network}, policy {policy.fingerprint} (pinned)", style="dim")
        network.start_hives()
        output.say(
            f"  one hive each for {', '.join(REGIONS)}: regions are simulated, all run here", style="dim"
        )
        job, rules = asyncio.run(_run_benchmark(network, phases, output, start))
        phases.begin("Stopping every program: from here on there are only files")
        network.stop()
    verified = _verify(home, policy, phases, output)
    refusals = _try_to_cheat(home, policy, phases, output)
    outcome = Outcome(
        cells=QUESTIONS * len(shipped()) * len(REGIONS) * REPEATS,
        job=job,
        rules=rules,
        verified=verified,
        refusals=refusals,
        seconds=round(time.monotonic() - start, 1),
        peak_pss_mib=memory.peak_mib,
    )
    show_conclusion(outcome, home, output, is_kept=is_kept)
    output.result(outcome.to_object())
    if not outcome.is_complete:
        raise typer.Exit(EXIT_FAILED)


async def _run_benchmark(
    network: DemoNetwork, phases: "_Phases", output: Output, start: float
) -> tuple[Job, Rules]:
    async with network.client() as client:
        await network.wait_until_linked(client)
        phases.begin("Signing and submitting a benchmark")
        spec = signed_spec(network.home)
        submitted = await client.submit(spec)
        models = ", ".join(model.name for model in shipped())
        output.say(
            f"  {QUESTIONS} questions × 2 models ({models}) × {len(REGIONS)} regions × {REPEATS} repeats"
            f" = {submitted.executions} executions,",
            style="dim",
        )
        output.say(
            f"  drawn at temperature {TEMPERATURE} from signed seeds, so that regions can be compared",
            style="dim",
        )
        phases.begin("Running it: each answer is leased, computed, signed by its hive, checked and logged")
        job = await follow_job(client, submitted.id, output, since=start)
        rules = rules_of(await client.questions())
        show_answers(job, rules, output)
        phases.begin("Saving every receipt with its proof as a file")
        await save_bundles(client, job, _receipts(network.home), wait_s=LOGGED_WAIT_S)
        _save_spec(network.home, spec)
    return job, rules


def signed_spec(home: Home) -> bytes:
    """The demo's job as it is posted: models pinned by digest, signed by the account of this home."""
    benchmark = Benchmark(
        id=f"demo-{time.strftime('%Y%m%d-%H%M%S')}",
        name="demo",
        description="Eight questions to two small models in three regions, twice each.",
        questions=tuple(question.id for question in question_set(load_question_sets(), QUESTION_SET)),
        models=tuple(_pinned_models()),
        regions=REGIONS,
        repeats=REPEATS,
        max_tokens=MAX_TOKENS,
        temperature=TEMPERATURE,
        seed=SEED,
        visibility="public",
    )
    return sign_jobspec(
        build_spec(benchmark),
        load_private_key(home.account_key),
        now_ms=time.time_ns() // 1_000_000,
        random=secrets.token_bytes,
    )


def _pinned_models() -> Iterator[dict[str, Any]]:
    for model in shipped():
        yield {"name": model.name, "digest": model.weights_sha256}


def _verify(home: Home, policy: Policy, phases: "_Phases", output: Output) -> Verified:
    phases.begin("Verifying offline, with nothing but the files and the pinned policy")
    folder = _receipts(home)
    verified = verify_saved(sorted(folder.glob("*.json")), policy, folder=folder)
    output.say(f"  ✓ {verified.line}" if not verified.refused else f"  ✗ {verified.line}")
    for refused in verified.refused[:3]:
        output.say(f"    {refused.name}: {refused.error}", style="red")
    if verified.results and (verdict := verified.results[0].verdict) is not None:
        output.say(f"  each of them passed these checks (here: {verified.results[0].name}):", style="dim")
        for check in verdict.checks:
            output.say(f"    {check.name:<12} {check.detail}", style="dim")
        for level in verdict.levels:
            output.say(f"    shown: {level}", style="dim")
    return verified


def _try_to_cheat(home: Home, policy: Policy, phases: "_Phases", output: Output) -> tuple[Refusal, ...]:
    phases.begin("Trying to cheat: three forgeries of one receipt")
    refusals = []
    for path in sorted(_receipts(home).glob("*.json"))[:1]:
        for forgery in forge(parse_bundle(path.read_bytes()), random=secrets.token_bytes):
            refusal = Refusal(forgery, _refusal_of(forgery, policy))
            refusals.append(refusal)
            show_refusal(refusal, output)
    return tuple(refusals)


def _refusal_of(forgery: Forgery, policy: Policy) -> UnverifiedError | None:
    try:
        verify_bundle(forgery.bundle, policy)
    except UnverifiedError as error:
        return error
    return None


def _save_spec(home: Home, spec: bytes) -> None:
    (home.root / "job.json").write_bytes(spec)


def _receipts(home: Home) -> Path:
    return home.root / "receipts"


@contextmanager
def _demo_home(given: Path | None) -> Iterator[Home]:
    """A new folder below the given one, or a temporary one that is removed whatever happens."""
    if given is not None:
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield Home(Path(tempfile.mkdtemp(prefix=time.strftime("demo-%Y%m%d-%H%M%S-"), dir=given)))
        return
    folder = Path(tempfile.mkdtemp(prefix="hivemark-demo-"))
    try:
        yield Home(folder)
    finally:
        shutil.rmtree(folder)


def _leave(_signal: int, _frame: object) -> NoReturn:
    """Leave by the same way as on Ctrl-C, so that nothing stays behind."""
    raise KeyboardInterrupt


@dataclass(slots=True)
class _Phases:
    """Numbers and times the phases, so that a person sees where the seconds went."""

    output: Output
    start: float
    number: int = 0

    def begin(self, title: str) -> None:
        self.number += 1
        elapsed_s = time.monotonic() - self.start
        self.output.say()
        self.output.say(f"{self.number}. {title}  [{elapsed_s:.1f} s]", style="bold")
