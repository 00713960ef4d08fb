"""The talk at a terminal: read a line, answer it, until the person leaves."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hivemark.cli.chat_access import Access, evidence_client
from hivemark.cli.chat_answer import Screen, stream_answer
from hivemark.cli.chat_commands import LOGGED_WAIT_S, Commands
from hivemark.cli.chat_prompt import Prompt
from hivemark.cli.chat_turns import Conversation, Ending
from hivemark.cli.exits import next_step, system_error
from hivemark.cli.home import Home
from hivemark.cli.output import Output
from hivemark.cli.trust import pinned_policy
from hivemark.client.chat import ChatClient
from hivemark.errors import HivemarkError
from hivemark.translog.policy import Policy

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Table:
    """Where the talk takes place: the service, this home, the screen (a `Desk` of the commands)."""

    runner: asyncio.Runner
    client: ChatClient
    access: Access
    home: Home
    talk: Conversation
    screen: Screen
    output: Output

    def models(self) -> tuple[str, ...]:
        """The names on offer now."""
        return self._run(self.client.models())

    def bundle(self, execution: str) -> bytes:
        """The evidence of an execution; waits a little for the log."""
        return self._run(self._bundle(execution))

    def policy(self) -> Policy | None:
        """Whom this home trusts."""
        return pinned_policy(self.home, None)

    def ask(self, question: str) -> None:
        """Ask, show the answer, keep the turn; Ctrl-C stops the answer and nothing else."""
        turn = self.talk.begin(question)
        try:
            self._run(stream_answer(self.client, turn, self.screen))
        except KeyboardInterrupt:
            turn.ending = Ending.STOPPED
        finally:
            self.screen.end_line(turn.answer)
            self.talk.keep(turn)
        self.output.say(turn.line, style="dim")

    async def _bundle(self, execution: str) -> bytes:
        async with evidence_client(self.home, self.access) as client:
            return await client.bundle(execution, wait_s=LOGGED_WAIT_S)

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)


def talk_until_left(table: Table, prompt: Prompt, commands: Commands) -> None:
    """Until /quit or Ctrl-D; an error is told, and the talk goes on."""
    while not commands.is_over:
        try:
            line = prompt.read()
            if line is None:
                table.output.say()
                return
            if line.startswith("/"):
                commands.run(line)
            elif line.strip():
                table.ask(line.strip())
        except KeyboardInterrupt:
            table.output.say()
            table.output.say("Ctrl-D or /quit leaves", style="dim")
        except HivemarkError as error:
            _tell(error, table.output)
        except OSError as error:
            _tell(system_error(error), table.output)


def _tell(error: HivemarkError, output: Output) -> None:
    output.say(f"error: {error} ({error.code})", style="red")
    if advice := next_step(error):
        output.say(f"next: {advice}")
