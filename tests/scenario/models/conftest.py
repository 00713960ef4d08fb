"""A home, the command line as it is typed there, and servers to pull from."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hivemark.models_shipped import shipped

from .source import ModelServer, Script

COMMAND = (sys.executable, "-m", "hivemark.cli")
FILE = shipped()[0].path.read_bytes() + bytes(4096)  # a model of its own digest
SIZE = f"{len(FILE) / 1e6:.1f} MB"  # as people are told it


@dataclass
class Desk:
    """A home and a shell in it."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def models(self) -> Path:
        return self.home / "models"

    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HIVEMARK_", "HF_"))}
        return {**clean, "HIVEMARK_HOME": str(self.home), **self.variables}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Everything it said."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        return out + err

    def ask(self, *arguments: str, code: int = 0) -> Any:
        """Its last line on stdout, which is one object."""
        with self.start(*arguments, "--json") as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        return json.loads(out.splitlines()[-1])

    def pull(self, source: str, *arguments: str) -> Any:
        return self.ask("models", "pull", source, "--stall-s", "0.5", *arguments)

    def refused(self, source: str, *arguments: str, code: int = 1) -> Any:
        """The error of a pull that fails."""
        return self.ask("models", "pull", source, "--stall-s", "0.5", *arguments, code=code)["error"]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.models.iterdir()) if self.models.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "home")


@pytest.fixture
def serve() -> Iterator[Callable[[Script], ModelServer]]:
    """Starts a server; all of them end with the test."""
    started: list[ModelServer] = []

    def start(script: Script) -> ModelServer:
        started.append(ModelServer(script))
        return started[-1]

    yield start
    for server in started:
        server.close()


def kill(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> tuple[str, str]:
    process.send_signal(number)
    return process.communicate(timeout=30)
