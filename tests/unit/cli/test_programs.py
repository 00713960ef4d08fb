"""Programs are started when they are ready, and stopped only when they are ours."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from hivemark.cli import programs
from hivemark.cli.programs import Program, exclusive, running, start_alone, start_child, stop_alone
from hivemark.errors import ConflictError, DeadlineError, InternalError, UnavailableError

READY = "import sys, json\nprint(json.dumps({'event': 'ready', 'url': 'u'}), flush=True)\n"
WAIT = "sys.stdin.read() if '--watchdog' in sys.argv else __import__('time').sleep(600)\n"


def program(module: str, tmp_path: Path) -> Program:
    return Program("tester", module, tmp_path)


def test_a_child_tells_that_it_is_ready_and_ends_when_told(
    make_module: Callable[[str], str], tmp_path: Path
) -> None:
    child = start_child(program(make_module(READY + WAIT), tmp_path), log=tmp_path / "log")
    assert child.ready["url"] == "u"
    child.stop()
    assert child.process.returncode is not None


def test_a_child_ends_when_its_parent_lets_go_of_the_pipe(
    make_module: Callable[[str], str], tmp_path: Path
) -> None:
    child = start_child(program(make_module(READY + WAIT), tmp_path), log=tmp_path / "log")
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(10) == 0


def test_a_grandchild_goes_with_its_group(make_module: Callable[[str], str], tmp_path: Path) -> None:
    body = (
        "import subprocess, sys, json\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(json.dumps({'event': 'ready', 'grandchild': child.pid}), flush=True)\n" + WAIT
    )
    child = start_child(program(make_module(body), tmp_path), log=tmp_path / "log")
    grandchild = psutil.Process(child.ready["grandchild"])
    child.stop()
    deadline = time.monotonic() + 5
    while grandchild.is_running() and grandchild.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the grandchild is an orphan"


def test_one_that_does_not_listen_is_killed(make_module: Callable[[str], str], tmp_path: Path) -> None:
    body = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        + READY
        + "import time\ntime.sleep(600)"
    )
    child = start_child(program(make_module(body), tmp_path), log=tmp_path / "log")
    child.stop(grace_s=0.2)
    assert child.process.returncode == -signal.SIGKILL


def test_a_start_that_fails_gives_the_program_s_own_reason(
    make_module: Callable[[str], str], tmp_path: Path
) -> None:
    body = (
        "import json\n"
        "print(json.dumps({'event': 'failed', 'code': 'port_taken', 'message': 'taken', 'hint': 'move'}))\n"
        "raise SystemExit(1)"
    )
    with pytest.raises(InternalError) as caught:
        start_child(program(make_module(body), tmp_path), log=tmp_path / "log")
    assert (caught.value.code, caught.value.hint) == ("port_taken", "move")
    assert "could not start: taken" in str(caught.value)


def test_an_early_end_quotes_the_last_words(make_module: Callable[[str], str], tmp_path: Path) -> None:
    module = make_module("raise SystemExit('no such disk')")
    with pytest.raises(UnavailableError) as caught:
        start_child(program(module, tmp_path), log=tmp_path / "log")
    assert caught.value.code == "start_failed"
    assert "no such disk" in str(caught.value)


def test_silence_is_a_deadline_and_leaves_nothing_behind(
    make_module: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "READY_TIMEOUT_S", 0.3)
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(DeadlineError):
        start_child(program(make_module("import time; time.sleep(600)"), tmp_path), log=tmp_path / "log")
    assert {child.pid for child in psutil.Process().children()} == before


def test_one_that_stands_alone_is_found_and_stopped(
    make_module: Callable[[str], str], tmp_path: Path
) -> None:
    pid_file = tmp_path / "tester.pid"
    start_alone(program(make_module(READY + WAIT), tmp_path), log=tmp_path / "log", pid_file=pid_file)
    process = running(pid_file)
    assert process is not None
    assert stop_alone(pid_file)
    assert running(pid_file) is None
    assert not stop_alone(pid_file)


@pytest.mark.parametrize(
    "change",
    [{"started": 1.0}, {"module": "another.module"}, {"pid": 2**22 + 1}],
    ids=lambda c: next(iter(c)),
)
def test_a_process_that_is_not_ours_is_never_stopped(tmp_path: Path, change: dict[str, object]) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        note = {
            "pid": stranger.pid,
            "started": psutil.Process(stranger.pid).create_time(),
            "module": "-c",
            **change,
        }
        pid_file = tmp_path / "tester.pid"
        pid_file.write_bytes(msgspec.json.encode(note))
        assert running(pid_file) is None
        assert not stop_alone(pid_file)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("raw", [b"", b"12345", b'{"pid":"x"}'])
def test_a_broken_pid_file_is_nobody(tmp_path: Path, raw: bytes) -> None:
    pid_file = tmp_path / "tester.pid"
    pid_file.write_bytes(raw)
    assert running(pid_file) is None


def test_two_commands_do_not_start_things_at_once(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"), pytest.raises(ConflictError) as caught, exclusive(tmp_path / "lock"):
        pass
    assert caught.value.code == "home_locked"
    with exclusive(tmp_path / "lock"):
        pass


def test_a_large_log_is_put_aside_and_closed_to_others(
    make_module: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "LOG_BYTES_MAX", 10)
    log, module = tmp_path / "tester.log", make_module("import sys\nsys.stderr.write('x' * 20)\n" + READY)
    for _ in range(6):
        start_child(program(module, tmp_path), log=log).stop()
    kept = sorted(path.name for path in tmp_path.glob("tester.log*"))
    assert kept == ["tester.log", "tester.log.1", "tester.log.2", "tester.log.3"]
    assert log.stat().st_mode & 0o077 == 0
