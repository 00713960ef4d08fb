"""A real OpenAI server process, and a terminal in which a person types."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "hivemark.cli")
PATIENCE_S = 30.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


@dataclass
class Engine:
    """The scripted engine; `url` is what a user gives to --url."""

    url: str
    process: subprocess.Popen[bytes]

    def is_busy(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
            return bool(json.load(answer)["busy"])

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.02)


@pytest.fixture
def engine() -> Iterator[Engine]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hivemark.testing.engine", "--model", "scripted"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["port"]
    yield Engine(f"http://127.0.0.1:{port}", process)
    process.kill()
    process.communicate()


def environment(home: Path) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("HIVEMARK_")}
    return {**clean, "HIVEMARK_HOME": str(home), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}


@dataclass
class Terminal:
    """A program on a terminal of its own; `expect` answers what was shown up to and with the text."""

    pid: int
    descriptor: int
    code: int | None = None
    shown: str = ""
    everything: str = ""
    raw: bytearray = field(default_factory=bytearray)

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def interrupt(self) -> None:
        self.type("\x03")

    def expect(self, text: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} never came; shown: {self.shown!r}"
            self._read()
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def end(self) -> int:
        """Read until the program has left; its exit code."""
        while self._read():
            pass
        return self._wait()

    def kill(self) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self._wait()
        os.close(self.descriptor)

    def _wait(self) -> int:
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def _read(self) -> bool:
        if not select.select([self.descriptor], [], [], 0.2)[0]:
            return True
        try:
            portion = os.read(self.descriptor, 65_536)
        except OSError:  # Linux answers so when the other side is gone
            portion = b""
        self.raw += portion
        plain = _ESCAPES.sub("", bytes(self.raw).decode("utf-8", "replace"))
        self.shown += plain[len(self.everything) :]
        self.everything = plain
        return bool(portion)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        pid, descriptor = pty.fork()  # a controlling terminal of its own, so that Ctrl-C is a signal
        if pid == 0:
            os.execve(COMMAND[0], [*COMMAND, *arguments], environment(tmp_path / "home"))
        started.append(Terminal(pid, descriptor))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """One question without a terminal; what came on stdout and on stderr."""

    def run(*arguments: str, stdin: bytes = b"", code: int = 0) -> tuple[str, str]:
        done = subprocess.run(
            [*COMMAND, "chat", *arguments],
            input=stdin,
            capture_output=True,
            env=environment(tmp_path / "home"),
            timeout=60,
        )
        assert done.returncode == code, done
        return done.stdout.decode(), done.stderr.decode()

    return run
