"""What can be done in a chat apart from asking: one row per command, one method each."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hivemark.cli.chat_receipt import check_answer, show_receipt
from hivemark.cli.chat_turns import Conversation, Turn
from hivemark.cli.output import Output
from hivemark.client.chatproof import HeldTexts
from hivemark.errors import InvalidError, NotFoundError
from hivemark.translog.policy import Policy

LOGGED_WAIT_S: Final = 5.0


class Desk(Protocol):
    """What a command needs from outside: each call asks the service, or this home."""

    def models(self) -> tuple[str, ...]:
        """The names on offer now."""

    def bundle(self, execution: str) -> bytes:
        """The evidence of an execution; waits a little for the log."""

    def policy(self) -> Policy | None:
        """Whom this home trusts."""

    def ask(self, question: str) -> None:
        """Ask, show the answer, keep the turn."""


@dataclass(frozen=True, slots=True)
class Command:
    """`usage` as it is typed, `summary` as /help shows it."""

    usage: str
    summary: str
    run: Callable[["Commands", str], None]

    @property
    def name(self) -> str:
        return self.usage.partition(" ")[0]


class Commands:
    """The commands over one conversation."""

    def __init__(self, conversation: Conversation, desk: Desk, output: Output) -> None:
        self._talk = conversation
        self._desk = desk
        self._output = output
        self._known_models: tuple[str, ...] = ()
        self.is_over = False

    def run(self, line: str) -> None:
        """Carry out a line that begins with a slash; raises `InvalidError` for one that is none of ours."""
        name, _, rest = line.strip().partition(" ")
        command = next((each for each in COMMANDS if each.name == name), None)
        if command is None:
            raise InvalidError(
                f"there is no {name}", code="unknown_command", hint="/help lists what there is"
            )
        command.run(self, rest.strip())

    def complete(self, text: str) -> Sequence[str]:
        """What a line that begins like this may become."""
        if not text.startswith("/"):
            return []
        names = [f"{each.name} " if " " in each.usage else each.name for each in COMMANDS]
        return [*names, *(f"/model {model}" for model in self._known_models)]

    def note_models(self, models: tuple[str, ...]) -> None:
        """The names that Tab completes."""
        self._known_models = models

    def help(self, _: str) -> None:
        """One line per command."""
        for each in COMMANDS:
            self._output.say(f"{each.usage:<16}  {each.summary}")
        self._output.say(
            "Ctrl-C stops an answer, Ctrl-D leaves; a line that ends with \\ goes on.", style="dim"
        )

    def models(self, _: str) -> None:
        """List them; the one in use has a mark."""
        models = self._desk.models()
        self.note_models(models)
        for model in models:
            self._output.say(f"{'*' if model == self._talk.model else ' '} {model}")
        if not models:
            self._output.say("no model is offered; next: hivemark status")

    def model(self, name: str) -> None:
        """Show or change the model; one that is not on offer is refused."""
        if name:
            models = self._desk.models()
            self.note_models(models)
            if name not in models:
                raise NotFoundError(
                    f"model {name} is not offered", code="model_not_found", hint="/models lists what there is"
                )
            self._talk.model = name
        self._output.say(f"model: {self._talk.model}")

    def system(self, text: str) -> None:
        """Show, set or (with a dash) drop what is said before everything."""
        if text:
            self._talk.system = None if text == "-" else text
        self._output.say(f"system: {self._talk.system or 'none'}")

    def new(self, _: str) -> None:
        """Forget what was said; model and system message stay."""
        self._talk.turns.clear()
        self._talk.asked = None
        self._output.say("a new conversation")

    def retry(self, _: str) -> None:
        """Ask the newest question again, as if it had not been answered."""
        question = self._talk.take_back()
        if question is None:
            raise NotFoundError("nothing was asked yet", code="nothing_asked", hint="ask something first")
        self._desk.ask(question)

    def tokens(self, _: str) -> None:
        """What the talk has taken, as the server counted."""
        prompt, completion = self._talk.tokens
        self._output.say(
            f"{len(self._talk.turns)} answers: {prompt:,} tokens read, {completion:,} written, as told"
        )

    def receipt(self, _: str) -> None:
        """The last answer's receipt in words."""
        show_receipt(self._desk.bundle(self._execution()), self._output)

    def verify(self, _: str) -> None:
        """Check the last answer offline, about the text that stands on the screen."""
        turn = self._last()
        raw = self._desk.bundle(self._execution())
        verdict = check_answer(raw, self._desk.policy(), HeldTexts(turn.body, turn.answer), self._output)
        if verdict.signers_known:
            self._output.say("every check held", style="green")
        else:
            self._output.say("consistent, signers unknown to you", style="yellow")

    def save(self, name: str) -> None:
        """Write the talk to a new file: JSON when it is named so, else Markdown."""
        if not name:
            raise InvalidError("which file?", code="file_missing", hint="/save talk.md, or /save talk.json")
        path = Path(name).expanduser()
        text = as_json(self._talk) if path.suffix == ".json" else as_markdown(self._talk)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        self._output.say(f"saved {len(self._talk.turns)} answers to {path}", whole=True)

    def quit(self, _: str) -> None:
        """Leave."""
        self.is_over = True

    def _last(self) -> Turn:
        if self._talk.last is None:
            raise NotFoundError("there is no answer yet", code="nothing_answered", hint="ask something first")
        return self._talk.last

    def _execution(self) -> str:
        execution = self._last().execution
        if execution is None:
            raise NotFoundError(
                "the last answer has no receipt: whoever answered named no execution",
                code="no_receipt",
                hint="answers of a Hivemark coordinator have one; this address is another server's",
            )
        return execution


def as_json(talk: Conversation) -> str:
    """The talk for programs."""
    turns = [turn.to_object() for turn in talk.turns]
    return json.dumps({"system": talk.system, "turns": turns}, ensure_ascii=False, indent=1) + "\n"


def as_markdown(talk: Conversation) -> str:
    """The talk for people."""
    parts = [] if talk.system is None else [f"*System:* {talk.system}\n"]
    for turn in talk.turns:
        parts += [f"**You:** {turn.question}\n", f"{turn.answer.rstrip()}\n", f"<sub>{turn.line}</sub>\n"]
    return "\n".join(parts)


COMMANDS: Final = (
    Command("/help", "this list", Commands.help),
    Command("/models", "which models there are", Commands.models),
    Command("/model [NAME]", "show or change the model", Commands.model),
    Command("/system [TEXT]", "show or change what is said before everything; - drops it", Commands.system),
    Command("/new", "begin a new conversation", Commands.new),
    Command("/retry", "ask the last question again", Commands.retry),
    Command("/tokens", "what this conversation has taken", Commands.tokens),
    Command("/receipt", "the receipt of the last answer, in words", Commands.receipt),
    Command("/verify", "check the last answer offline", Commands.verify),
    Command("/save FILE", "write the conversation to a new file (.md or .json)", Commands.save),
    Command("/quit", "leave", Commands.quit),
)
