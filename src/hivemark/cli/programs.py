"""Starting the programs of Hivemark and stopping them again: children of this command, or on their own.

A program says on stdout, in one JSON line, that it is ready or why it is not; everything else it says goes
to its log. A child ends with its parent by an inherited pipe (EOF on stdin); one that stands alone is known
by a pid file that names process id *and* start time, so that nothing that is not ours is ever stopped.
"""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import psutil

from hivemark.errors import ConflictError, DeadlineError, InternalError, UnavailableError

READY_TIMEOUT_S: Final = 30.0
POLL_PAUSE_S: Final = 0.02
STOP_GRACE_S: Final = 8.0
LOG_BYTES_MAX: Final = 5 * 1_048_576
LOGS_KEPT: Final = 3
READY_LINE_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Program:
    """One program to run: `python -m module --home home …`; `name` names its log and its pid file."""

    name: str
    module: str
    home: Path
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """The command line with the interpreter that runs us."""
        return (sys.executable, "-m", self.module, "--home", str(self.home), *self.arguments)


@dataclass(frozen=True, slots=True)
class Child:
    """A running child; `ready` is what it said when it was."""

    program: Program
    process: subprocess.Popen[bytes]
    ready: Mapping[str, Any]

    def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """Ask, wait, then force; its whole process group is gone afterwards."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        _kill_group(self.process.pid)
        self.process.wait()


def start_child(program: Program, *, log: Path | None, environment: Mapping[str, str] | None = None) -> Child:
    """Start a program that ends with us; raises what the program said when it could not start.

    Without a `log` it shares our stderr.
    """
    spawned = _spawn(
        program, log=log, environment=environment, arguments=("--watchdog",), stdin=subprocess.PIPE
    )
    return Child(program, spawned.process, _wait_until_ready(spawned))


def start_alone(program: Program, *, log: Path, pid_file: Path) -> Mapping[str, Any]:
    """Start a program that outlives us, and note it in its pid file; answers what it said when ready."""
    spawned = _spawn(program, log=log, environment=None, arguments=(), stdin=subprocess.DEVNULL)
    ready = _wait_until_ready(spawned)
    process = spawned.process
    started = psutil.Process(process.pid).create_time()
    note = _PidNote(pid=process.pid, started=started, module=program.module)
    draft = pid_file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(note))
    draft.replace(pid_file)
    process.returncode = 0  # it is on its own now: Popen shall neither wait for it nor warn
    return ready


def running(pid_file: Path) -> psutil.Process | None:
    """The process of a pid file, if it is still that very process; anything else counts as not running."""
    try:
        note = msgspec.json.decode(pid_file.read_bytes(), type=_PidNote)
        process = psutil.Process(note.pid)
        is_ours = abs(process.create_time() - note.started) < 0.1 and note.module in process.cmdline()
    except (FileNotFoundError, msgspec.DecodeError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None


def stop_alone(pid_file: Path, *, grace_s: float = STOP_GRACE_S) -> bool:
    """Stop the program of a pid file; False when it did not run."""
    process = running(pid_file)
    if process is not None:
        process.terminate()
        try:
            process.wait(grace_s)
        except psutil.TimeoutExpired:
            _kill_group(process.pid)
            process.wait(grace_s)
    pid_file.unlink(missing_ok=True)
    return process is not None


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold the lock of a home while programs are started or stopped; `ConflictError` when another does."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                "another `hivemark up`, `join` or `down` is at work in this home",
                code="home_locked",
                hint="wait for it, then hivemark status",
            ) from error
        yield


class _PidNote(msgspec.Struct, frozen=True):
    pid: int
    started: float
    module: str


@dataclass(frozen=True, slots=True)
class _Spawned:
    """A process that has not said yet that it is ready.

    Its stdout is a file without a name: unlike a pipe it never breaks when we leave before the program, and
    the secrets of a first start are on no disk that anyone can open.
    """

    program: Program
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    log: Path | None


def _spawn(
    program: Program,
    *,
    log: Path | None,
    environment: Mapping[str, str] | None,
    arguments: Sequence[str],
    stdin: int,
) -> _Spawned:
    """In its own session, so that Ctrl-C reaches this command alone and the order of stopping is ours."""
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the program has said its line
    with nullcontext() if log is None else _open_log(log) as log_file:
        process = subprocess.Popen(
            [*program.command, *arguments],
            stdin=stdin,
            stdout=said,
            stderr=log_file,
            env=dict(os.environ if environment is None else environment),
            start_new_session=True,
        )
    return _Spawned(program, process, said, log)


def _open_log(path: Path) -> IO[bytes]:
    """The log for appending, readable by its owner; one that has grown over the limit is put aside first."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        for number in range(LOGS_KEPT - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def _wait_until_ready(spawned: _Spawned) -> Mapping[str, Any]:
    try:
        said = _parse_said(spawned.program, _first_line(spawned))
    except BaseException:  # also when this command is interrupted: nothing half started stays behind
        _kill_group(spawned.process.pid)
        spawned.process.wait()
        raise
    finally:
        spawned.said.close()
    if said.get("event") == "ready":
        return said
    spawned.process.wait()
    raise InternalError(
        f"the {spawned.program.name} could not start: {said.get('message')}",
        code=str(said.get("code") or "start_failed"),
        hint=said.get("hint") or _see(spawned.log),
    )


def _first_line(spawned: _Spawned) -> bytes:
    name, descriptor = spawned.program.name, spawned.said.fileno()
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        has_ended = spawned.process.poll() is not None  # asked before reading: what it said last is read
        line, newline, _ = os.pread(descriptor, READY_LINE_BYTES_MAX, 0).partition(b"\n")
        if newline:
            return line
        if has_ended:
            raise UnavailableError(
                f"the {name} ended before it was ready{_last_words(spawned.log)}",
                code="start_failed",
                hint=_see(spawned.log),
            )
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"the {name} was not ready after {READY_TIMEOUT_S:.0f} s",
                code="start_timeout",
                hint=_see(spawned.log),
            )
        time.sleep(POLL_PAUSE_S)


def _parse_said(program: Program, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InternalError(
            f"the {program.name} said something else than that it is ready: {line[:200]!r}",
            code="start_failed",
        ) from error


def _see(log: Path | None) -> str | None:
    return None if log is None else f"see {log}"


def _last_words(log: Path | None) -> str:
    if log is None:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f": {lines[-1][:300]}" if lines else ""


def _kill_group(pid: int) -> None:
    """Every process of the group that `start_new_session` made; its leader's id is the group's."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
