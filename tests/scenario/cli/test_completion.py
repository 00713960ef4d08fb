"""The shells complete what the command takes: asked by real shells, with the scripts as they are printed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "hivemark.cli")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running coordinator with a hive that offers the shipped models."""
    folder = tmp_path_factory.mktemp("completion") / "home"
    run(folder, *COMMAND, "up", "--listen", "127.0.0.1:0")
    yield folder
    run(folder, *COMMAND, "down")


def run(home: Path, *command: str) -> str:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("HIVEMARK_")}
    path = f"{Path(sys.executable).parent}:{clean['PATH']}"
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**clean, "HIVEMARK_HOME": str(home), "PATH": path},
    )
    assert done.returncode == 0, done
    return done.stdout


def complete_in_bash(home: Path, line: str) -> list[str]:
    words = line.split(" ")
    script = (
        "source <(hivemark completion bash)\n"
        f"COMP_WORDS=({' '.join(repr(word) for word in words)})\nCOMP_CWORD={len(words) - 1}\n"
        "_hivemark hivemark\nprintf '%s\\n' \"${COMPREPLY[@]}\""
    )
    return run(home, "bash", "--norc", "-c", script).split()


def test_bash_knows_the_function_for_the_command(home: Path) -> None:
    told = run(home, "bash", "--norc", "-c", "source <(hivemark completion bash); complete -p hivemark")
    assert told == "complete -o default -F _hivemark hivemark\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hivemark ru", ["run"]),
        ("hivemark do", ["down", "doctor"]),
        ("hivemark keys tr", ["trust"]),
        ("hivemark run --mo", ["--model"]),
        ("hivemark completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_bash_completes_commands_and_options(home: Path, line: str, expected: list[str]) -> None:
    assert complete_in_bash(home, line) == expected


def test_bash_completes_the_models_of_the_running_coordinator(home: Path) -> None:
    deadline = time.monotonic() + 30
    while not (offered := complete_in_bash(home, "hivemark run -m hive")):
        assert time.monotonic() < deadline, "the hive never offered its models"
    assert offered == ["hivemark-tiny-a", "hivemark-tiny-b"]
    assert complete_in_bash(home, "hivemark chat --model hivemark-tiny-b") == ["hivemark-tiny-b"]


def test_nobody_there_means_nothing_to_offer(tmp_path: Path) -> None:
    assert complete_in_bash(tmp_path, "hivemark run --url http://127.0.0.1:9 -m hive") == []


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(home: Path) -> None:
    script = "hivemark completion fish | source; complete --do-complete 'hivemark keys tr'"
    assert run(home, "fish", "--no-config", "-c", script).split("\t")[0] == "trust"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_takes_the_script(home: Path) -> None:
    script = (
        "autoload -U compinit; compinit -u -D; source <(hivemark completion zsh)\n"
        "print -r -- $_comps[hivemark]\nwords=(hivemark keys tr); CURRENT=3; "
        "_arguments() { print -r -- $@ }; _hivemark"
    )
    told = run(home, "zsh", "-f", "-c", script).splitlines()
    assert told[0] == "_hivemark"
    assert '"trust"' in told[1]
