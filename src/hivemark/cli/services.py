"""The programs that one home runs, by name: what `up`, `join`, `status`, `logs` and `down` agree on."""

import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from hivemark.api.joinlink import is_loopback
from hivemark.cli.home import Home
from hivemark.cli.programs import Child, Program, running, stop_alone

COORDINATOR: Final = "coordinator"
HIVE: Final = "hive"
NAMES: Final = (COORDINATOR, HIVE)
WATCH_EVERY_S: Final = 0.5


def coordinator_program(home: Home, *, listen: str | None, database_url: str | None) -> Program:
    """The coordinator of this home; without `listen` its own settings decide.

    An address that others can reach is served by TLS, beside one on this machine for its own programs.
    """
    arguments: tuple[str, ...] = ()
    if listen is not None:
        host, _, port = listen.rpartition(":")
        if host and port.isdigit() and not is_loopback(host.strip("[]")):
            # One port cannot be both: a listener on every address takes the loopback's too.
            is_everywhere = host in ("0.0.0.0", "[::]") and int(port) != 0
            local = int(port) + 1 if is_everywhere else int(port)
            arguments = ("--listen", f"127.0.0.1:{local}", "--listen-tls", listen)
        else:
            arguments = ("--listen", listen)
    arguments += () if database_url is None else ("--database-url", database_url)
    return Program(COORDINATOR, "hivemark.coordinator", home.root, arguments)


def hive_program(home: Home) -> Program:
    """The hive of this home; it offers what its own settings name and what was pulled."""
    return Program(HIVE, "hivemark.hive", home.hive, ("--models", str(home.models)))


def pid_file(home: Home, name: str) -> Path:
    """Where it is noted which process runs a program."""
    return home.run / f"{name}.pid"


def log_file(home: Home, name: str) -> Path:
    """Where a program's log lines go."""
    return home.logs / f"{name}.log"


def is_running(home: Home, name: str) -> bool:
    """Whether the process that was noted is still that process."""
    return running(pid_file(home, name)) is not None


def stop(home: Home, name: str) -> bool:
    """Stop a program of this home; False when it did not run."""
    return stop_alone(pid_file(home, name))


def stay_with(children: Sequence[Child]) -> None:
    """Wait until one of the children ends or this command is told to leave; then stop all, last first."""
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    with ExitStack() as stack:
        for child in children:
            stack.callback(child.stop)
        while not leave.wait(WATCH_EVERY_S) and all(child.process.poll() is None for child in children):
            pass
