"""Log lines on a disk that takes none: nothing fails by them, and what was lost is told."""

import errno
import json
import os
from pathlib import Path

import pytest

from hivemark.coordinator.logs import LineWriter


def test_lost_lines_are_counted_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    lines = LineWriter(descriptor)
    lines.write('{"event": "before"}\n')
    with monkeypatch.context() as full:
        full.setattr(os, "write", _full)
        lines.write('{"event": "lost"}\n')
        lines.write('{"event": "lost too"}\n')
    lines.write('{"event": "after"}\n')
    lines.write('{"event": "later"}\n')
    os.close(descriptor)
    told = [json.loads(line) for line in path.read_text().splitlines() if line]
    assert [line["event"] for line in told] == ["before", "log_lines_lost", "after", "later"]
    assert told[1]["count"] == 2


def test_a_line_that_was_cut_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    lines = LineWriter(descriptor)
    write = os.write
    with monkeypatch.context() as nearly_full:
        nearly_full.setattr(os, "write", lambda to, content: write(to, content[:7]))
        lines.write('{"event": "cut"}\n')
    lines.write('{"event": "after"}\n')
    os.close(descriptor)
    cut, *told = [line for line in path.read_text().splitlines() if line]
    assert cut == '{"event'
    assert [json.loads(line)["event"] for line in told] == ["log_lines_lost", "after"]


def _full(_descriptor: int, _content: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
