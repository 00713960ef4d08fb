"""`hivemark chat`: talk to the models of all hives, with a receipt for every answer."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from hivemark.cli.chat_access import Access, find_access
from hivemark.cli.chat_answer import stream_answer, terminal_screen
from hivemark.cli.chat_commands import Commands
from hivemark.cli.chat_loop import Table, talk_until_left
from hivemark.cli.chat_prompt import Prompt
from hivemark.cli.chat_turns import Conversation
from hivemark.cli.completing import complete_model
from hivemark.cli.exits import EXIT_USAGE, fail
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption
from hivemark.cli.output import open_output
from hivemark.client.chat import ChatClient
from hivemark.errors import InvalidError, NotFoundError

app = typer.Typer(add_completion=False)

STDIN: Final = "-"
QUESTION_BYTES_MAX: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says of the model and how it shall answer."""

    model: str | None
    system: str | None
    temperature: float | None
    max_tokens: int | None
    seed: int | None

    def conversation(self, model: str) -> Conversation:
        """A talk with nothing said yet."""
        return Conversation(
            model=model,
            system=self.system,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )


@app.command(
    epilog="Examples: hivemark chat · hivemark chat 'What is the capital of Peru?' · "
    "hivemark chat 'Summarise this:' - < notes.txt · hivemark chat -m hivemark-tiny-b --json 'Hello'"
)
def chat(
    question: Annotated[
        list[str] | None,
        typer.Argument(help="Ask this and leave; - stands for standard input. Without: a conversation."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="As `hivemark models ls` lists; default: the first.",
            autocompletion=complete_model,
        ),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Said before everything.")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", "-t", min=0, max=2)] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Per answer.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
    history: Annotated[
        bool, typer.Option("--history/--no-history", help="Keep what you type for the next time.")
    ] = True,
    home: HomeOption = HOME_DEFAULT,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            envvar="HIVEMARK_URL",
            help="The coordinator's address, or another server's that speaks OpenAI's API.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to the models of all hives; every answer has a receipt that you can check.

    In the conversation /help lists what can be done, Ctrl-C stops an answer, Ctrl-D leaves. The API key is
    the one of this home, or HIVEMARK_API_KEY. With --json the answer comes whole, in OpenAI's form.
    """
    folders = Home(home)
    access = find_access(folders, url)
    wishes = Wishes(model, system, temperature, max_tokens, seed)
    asked = _question(question or [], as_json=as_json)
    if asked is None:
        _converse(folders, access, wishes, keep_history=history)
    elif as_json:
        asyncio.run(_answer_whole(access, wishes, asked))
    else:
        asyncio.run(_answer(access, wishes, asked))


def _question(words: list[str], *, as_json: bool) -> str | None:
    """The one question to answer; None for a conversation, which needs a terminal."""
    if not words and not sys.stdin.isatty():
        words = [STDIN]
    if not words:
        if as_json:
            fail(
                "with --json a question is needed",
                next_command="hivemark chat --json 'Hello'",
                code=EXIT_USAGE,
            )
        return None
    text = "\n".join(_read_stdin() if word == STDIN else word for word in words).strip()
    if not text:
        fail("the question is empty", next_command="hivemark chat 'Hello'", code=EXIT_USAGE)
    return text


def _read_stdin() -> str:
    raw = sys.stdin.buffer.read(QUESTION_BYTES_MAX + 1)
    if len(raw) > QUESTION_BYTES_MAX:
        raise InvalidError(
            f"the question has more than {QUESTION_BYTES_MAX:,} bytes", code="question_too_long"
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError("the question is not UTF-8 text", code="text_malformed") from error


async def _answer(access: Access, wishes: Wishes, question: str) -> None:
    """The answer on stdout as it comes, its figures on stderr."""
    screen = terminal_screen()
    async with ChatClient(access.url, api_key=access.api_key) as client:
        turn = wishes.conversation(await _chosen(client, wishes.model)).begin(question)
        try:
            await stream_answer(client, turn, screen)
        finally:
            screen.end_line(turn.answer)
    open_output(as_json=True).say(turn.line, style="dim")


async def _answer_whole(access: Access, wishes: Wishes, question: str) -> None:
    output = open_output(as_json=True)
    async with ChatClient(access.url, api_key=access.api_key) as client:
        turn = wishes.conversation(await _chosen(client, wishes.model)).begin(question)
        output.result(await client.ask_whole(turn.request))


async def _chosen(client: ChatClient, wanted: str | None) -> str:
    """The model that was named, else the first on offer; whether a named one exists the server says."""
    return wanted or _first(await client.models())


def _first(models: tuple[str, ...]) -> str:
    if not models:
        raise NotFoundError("no model is offered", code="no_model_offered")
    return models[0]


def _converse(home: Home, access: Access, wishes: Wishes, *, keep_history: bool) -> None:
    with asyncio.Runner() as runner:
        client = ChatClient(access.url, api_key=access.api_key)
        runner.run(client.__aenter__())
        try:
            models = runner.run(client.models())
            talk = wishes.conversation(wishes.model or _first(models))
            table = Table(runner, client, access, home, talk, terminal_screen(), open_output(as_json=False))
            _talk(table, models, _history(home) if keep_history else None)
        finally:
            runner.run(client.__aexit__(None, None, None))


def _talk(table: Table, models: tuple[str, ...], history: Path | None) -> None:
    commands = Commands(table.talk, table, table.output)
    commands.note_models(models)
    choice = f" (of {len(models)}: /models)" if len(models) > 1 else ""
    table.output.say(f"{table.talk.model}{choice} at {table.client.base_url}", style="bold")
    table.output.say("/help lists what can be done, Ctrl-D leaves", style="dim")
    prompt = Prompt(history, commands.complete)
    prompt.open()
    try:
        talk_until_left(table, prompt, commands)
    finally:
        prompt.close()


def _history(home: Home) -> Path:
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home.chat_history
