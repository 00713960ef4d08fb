"""The command as a whole: what it lists, what it loads, how it ends."""

import json
import subprocess
import sys

import pytest

from hivemark.cli import main as cli_main
from hivemark.cli.commands import COMMANDS, CommandEntry
from hivemark.errors import UnverifiedError

HEAVY = ("aiohttp", "numpy", "sqlalchemy", "pydantic", "fastapi", "cryptography", "asyncio")


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_listed_command_loads_and_explains_itself(run, entry: CommandEntry) -> None:
    outcome = run(entry.name, "--help")
    assert outcome.code == 0
    assert "Usage: hivemark" in outcome.out
    assert f" {entry.name} " in outcome.out


@pytest.mark.parametrize("entry", [entry for entry in COMMANDS if not entry.is_group], ids=lambda e: e.name)
def test_every_command_shows_an_example(entry: CommandEntry) -> None:
    command = cli_main.load_command(entry)
    assert "hivemark " in (command.epilog or ""), entry.name


@pytest.mark.parametrize("entry", [entry for entry in COMMANDS if entry.is_group], ids=lambda e: e.name)
def test_every_command_of_a_group_shows_an_example(entry: CommandEntry) -> None:
    for name, command in cli_main.load_command(entry).commands.items():
        assert "hivemark " in (command.epilog or ""), f"{entry.name} {name}"


def test_help_lists_everything_and_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['hivemark', '--help']\n"
        "from hivemark.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "loaded: []" in done.stderr
    for entry in COMMANDS:
        assert f" {entry.name} " in done.stdout


def test_the_bare_command_shows_its_help(run) -> None:
    outcome = run()
    assert "hivemark demo" in outcome.out + outcome.err


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run", "--no-such-option"], ["keys", "trust"]])
def test_a_misuse_ends_with_2(run, arguments: list[str]) -> None:
    assert run(*arguments).code == 2


def test_the_version_is_the_package_s(run) -> None:
    outcome = run("--version")
    assert (outcome.code, outcome.out.startswith("hivemark ")) == (0, True)


def test_an_error_says_what_happened_and_what_to_do(run) -> None:
    outcome = run("keys", "show")
    assert outcome.code == 1
    assert "there is no account key" in outcome.err
    assert "(key_file_missing)" in outcome.err
    assert outcome.err.strip().splitlines()[-1] == "next: hivemark keys new"
    assert outcome.out == ""


def test_with_json_an_error_is_one_object(run) -> None:
    outcome = run("keys", "show", "--json")
    error = json.loads(outcome.out.splitlines()[-1])["error"]
    assert (outcome.code, error["code"], error["next"]) == (1, "key_file_missing", "hivemark keys new")


def test_nobody_there_says_how_to_start_somebody(run) -> None:
    outcome = run("models")
    assert outcome.code == 1
    assert "http://127.0.0.1:9" in outcome.err
    assert "next: hivemark up" in outcome.err


@pytest.mark.parametrize(
    ("error", "code"), [(UnverifiedError("no"), 3), (KeyboardInterrupt(), 130), (RuntimeError("a bug"), 1)]
)
def test_every_ending_has_its_exit_code(
    run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def end(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli_main, "app", end)
    assert run("keys", "show").code == code


def test_a_bug_shows_its_trace_and_asks_for_a_report(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(**_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli_main, "app", end)
    outcome = run("keys", "show")
    assert "Traceback" in outcome.err
    assert "a fault in hivemark itself: RuntimeError: a bug" in outcome.err
