"""What the demo says at its end, to people and to programs."""

from dataclasses import dataclass
from typing import Any, Final

from hivemark.cli.evidence import Verified
from hivemark.cli.forgeries import Forgery
from hivemark.cli.home import Home
from hivemark.cli.output import Output
from hivemark.cli.summary import Rules, answers_table, measure, summary_rows, summary_table
from hivemark.client.views import Job
from hivemark.errors import UnverifiedError

FORGERIES: Final = 3


@dataclass(frozen=True, slots=True)
class Refusal:
    """What became of a forgery; `error` is None when it was believed, which must never happen."""

    forgery: Forgery
    error: UnverifiedError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that the demo brought about; `cells` is how many executions there had to be."""

    cells: int
    job: Job
    rules: Rules
    verified: Verified
    refusals: tuple[Refusal, ...]
    seconds: float
    peak_pss_mib: int | None

    @property
    def refused(self) -> int:
        """How many forgeries were recognised."""
        return sum(refusal.error is not None for refusal in self.refusals)

    @property
    def is_complete(self) -> bool:
        """Whether every execution completed, every receipt verified and every forgery was refused."""
        progress = self.job.progress
        counts = (progress.cells, progress.completed, self.verified.count)
        return counts == (self.cells, self.cells, self.cells) and self.refused == FORGERIES

    def to_object(self) -> dict[str, Any]:
        """The last line of `hivemark demo --json`."""
        return {
            "executions": self.job.progress.cells,
            "completed": self.job.progress.completed,
            "receipts_verified": self.verified.count,
            "forgeries_refused": self.refused,
            "seconds": self.seconds,
            "peak_pss_mib": self.peak_pss_mib,
            "job": self.job.id,
            "simulated": ["region"],
            "forgeries": [
                {"title": each.forgery.title, "code": None if each.error is None else each.error.code}
                for each in self.refusals
            ],
            "summary": summary_rows(measure(self.job.executions, self.rules)),
        }


def show_answers(job: Job, rules: Rules, output: Output) -> None:
    """What the models said, and the numbers by model and region."""
    output.say()
    output.show(answers_table(job.executions, rules))
    output.say(
        "A receipt proves who said what, not that it is true: b was told on purpose that there are nine"
        " planets, and nobody can know how that coin fell.",
        style="dim",
    )
    output.say()
    output.show(summary_table(measure(job.executions, rules)))
    output.say()


def show_refusal(refusal: Refusal, output: Output) -> None:
    """What was done, by which check it was found out, and why it had to be."""
    if refusal.error is None:
        output.say(f"  ✗ {refusal.forgery.title}: BELIEVED, which must never happen", style="bold red")
        return
    output.say(f"  ✓ {refusal.forgery.title}")
    output.say(f"    refused: {refusal.error} ({refusal.error.code})")
    output.say(f"    because {refusal.forgery.why}", style="dim")


def show_conclusion(outcome: Outcome, home: Home, output: Output, *, is_kept: bool) -> None:
    """The outcome in one sentence, where the files lie, and what to try next."""
    progress, peak = outcome.job.progress, outcome.peak_pss_mib
    memory = "" if peak is None else f", {peak} MiB of memory in all"
    output.say()
    output.say(
        f"{progress.completed} of {progress.cells} executions completed, "
        f"{outcome.verified.count} receipts verified, "
        f"{outcome.refused} of {FORGERIES} forgeries refused in {outcome.seconds} s{memory}.",
        style="bold green" if outcome.is_complete else "bold red",
    )
    output.say()
    if is_kept:
        output.say(f"Everything lies in {home.root}: receipts/, job.json, policy, logs/.")
        steps = {
            "check it all again": f"hivemark verify {outcome.verified.folder} --policy {home.policy}",
            "go on with this network": f"hivemark up --home {home.root}",
        }
    else:
        output.say("It ran in a temporary folder that is gone now; --home FOLDER keeps one.")
        steps = {"run it again and keep the receipts": "hivemark demo --home ./demo"}
    steps |= {
        "start a network of your own, in the background": "hivemark up",
        "ask it something": "hivemark run -q 'What is the capital of Peru?' -m hivemark-tiny-a",
    }
    output.say("next:", style="bold")
    for what, command in steps.items():
        output.say(f"  {what}:", style="dim")
        output.say(f"    {command}", whole=True)
