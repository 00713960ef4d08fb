"""Programs to start, and the command line as a person types it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hivemark.cli import main as cli_main


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """The command line in this process, with a home of its own."""
    monkeypatch.setenv("HIVEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HIVEMARK_URL", "http://127.0.0.1:9")  # discard: nothing of ours answers there

    def start(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["hivemark", *arguments])
        with pytest.raises(SystemExit) as left:
            cli_main.main()
        told = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int | None)
        return Outcome(code or 0, told.out, told.err)

    return start


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A module that `python -m` finds, with this body; answers its name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def make(body: str) -> str:
        name = f"program_{len(list(folder.iterdir()))}"
        (folder / f"{name}.py").write_text(body, encoding="utf-8")
        return name

    return make
