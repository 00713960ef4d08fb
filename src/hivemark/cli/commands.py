"""The table of commands: what `hivemark --help` shows without loading any of them."""

from dataclasses import dataclass
from typing import Final

TRY: Final = "Try it"
SERVE: Final = "Serve"
WORK: Final = "Work"
TRUST: Final = "Check and trust"
CARE: Final = "Look after it"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """`module` under `hivemark.cli` has a Typer `app`; `is_group` when it holds several commands."""

    name: str
    panel: str
    summary: str
    is_group: bool = False

    @property
    def module(self) -> str:
        """Where the command lives."""
        return f"hivemark.cli.{self.name.replace('-', '_')}"


COMMANDS: Final = (
    CommandEntry("demo", TRY, "See the whole chain in under a minute: 96 signed, logged, verified results."),
    CommandEntry("up", SERVE, "Start a coordinator and a hive on this machine, in the background."),
    CommandEntry("status", SERVE, "What runs here, and whether it is well."),
    CommandEntry("logs", SERVE, "Show or follow the logs of what runs here."),
    CommandEntry("down", SERVE, "Stop what `up` and `join` started here."),
    CommandEntry("join", SERVE, "Let this machine work for a coordinator, by its join link."),
    CommandEntry("chat", WORK, "Talk to the models of all hives, with a receipt for every answer."),
    CommandEntry("run", WORK, "Sign a job, submit it, watch it, and verify its receipts."),
    CommandEntry("jobs", WORK, "List, show, watch and cancel jobs; download their receipts.", is_group=True),
    CommandEntry(
        "api-keys", WORK, "API keys for OpenAI clients: make, limit, list and revoke them.", is_group=True
    ),
    CommandEntry("models", WORK, "Fetch, list, show and remove models; what the hives offer.", is_group=True),
    CommandEntry("hives", WORK, "Which machines work here; links with which more may join.", is_group=True),
    CommandEntry("verify", TRUST, "Check receipts and signed jobs offline, from files alone."),
    CommandEntry("keys", TRUST, "Make, show and trust keys; sign and verify jobs.", is_group=True),
    CommandEntry("fsck", CARE, "Replay the log and the book and compare them with the database."),
    CommandEntry("completion", CARE, "Teach your shell to complete commands, options and models."),
    CommandEntry("doctor", CARE, "Find out why something does not work here."),
)
