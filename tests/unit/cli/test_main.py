"""The command as a whole: what it lists, what it loads, how it ends."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hivemark.cli import main as cli_main
from hivemark.cli.commands import COMMANDS, CommandEntry
from hivemark.cli.exits import report_error, system_error
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


def test_every_command_takes_json_and_shows_only_options_of_its_own() -> None:
    for entry in COMMANDS:
        command = cli_main.load_command(entry)
        for each in (command, *getattr(command, "commands", {}).values()):
            options = {name for parameter in each.params for name in parameter.opts}
            assert "--json" in options or hasattr(each, "commands"), f"{entry.name} {each.name}"
            assert "--install-completion" not in options, entry.name


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_help_is_broken_by_the_terminal_and_not_by_the_source(entry: CommandEntry) -> None:
    for paragraph in (cli_main.load_command(entry).help or "").split("\n\n"):
        assert "\n" not in paragraph
        assert "[" not in paragraph, "rich would take it for markup and leave it out"


def test_what_the_system_refuses_is_an_error_with_a_name(run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    outcome = run("keys", "new", "--home", str(tmp_path / "file" / "home"))
    assert outcome.code == 1
    assert "Not a directory" in outcome.err
    assert "(system_refused)" in outcome.err
    assert "next: " in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "storage_full"), (errno.EACCES, "not_permitted"), (errno.EROFS, "not_permitted")],
)
def test_a_full_or_closed_disk_says_so(number: int, code: str) -> None:
    named = system_error(OSError(number, os.strerror(number), "/somewhere/file"))
    assert (named.code, "/somewhere/file" in named.message, bool(named.hint)) == (code, True, True)


def test_a_stranger_s_error_is_one_line_that_acts_on_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = UnverifiedError("no\nnext: trust me\x1b[2J", code="inclusion_invalid", hint="ask\r\nthem")
    report_error(hostile, as_json=False)
    told = capsys.readouterr().err
    assert told.splitlines() == [
        "error: no next: trust me\ufffd[2J (inclusion_invalid)",
        "next: ask them",
    ]


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
    outcome = run("hives", "ls")
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
