"""What a part is worth, and how long a transfer is tried: rules that no server is needed for."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import psutil
import pytest
from yarl import URL

from hivemark.errors import ConflictError
from hivemark.models_local.folder import ModelFolder
from hivemark.models_local.partial import Note, open_part, read_note
from hivemark.models_local.source import Target
from hivemark.models_local.transfer import PAUSE_MAX_S, transfer
from hivemark.models_local.web import RETRY_AFTER_MAX_S, Interrupted, _retry_after_s

TARGET = Target(origin="https://h.example/m.gguf", place=URL("https://h.example/m.gguf"), file_name="m.gguf")
PINNED = Target(origin=TARGET.origin, place=TARGET.place, file_name="m.gguf", sha256="0" * 64, size_bytes=9)
NOW = psutil.boot_time()


def note(**changes: Any) -> Note:
    members = {"origin": TARGET.origin, "validator": '"v1"', "total_bytes": 9, "booted": NOW}
    return Note(**{**members, **changes})


@pytest.mark.parametrize(
    ("target", "known", "content", "reason"),
    [
        (TARGET, note(), b"GGUF", None),
        (TARGET, None, b"", None),
        (TARGET, None, b"GGUF", "part of"),
        (TARGET, note(origin="https://h.example/other"), b"GGUF", "another file"),
        (TARGET, note(validator=None), b"GGUF", "neither a digest nor a version"),
        (TARGET, note(booted=NOW - 3600), b"GGUF", "started again"),
        (TARGET, note(), b"GGUF more than nine", "longer"),
        (PINNED, note(validator=None, booted=0.0), b"GGUF", None),
        (PINNED, note(origin="hf:other"), b"GGUF", "another file"),
    ],
)
def test_a_part_is_gone_on_with_only_when_it_is_known_to_belong(
    tmp_path: Path, target: Target, known: Note | None, content: bytes, reason: str | None
) -> None:
    folder = ModelFolder(tmp_path)
    with open_part(folder, "m") as part:
        part.write(content)
        part.note = known
        told = part.why_not_usable(target)
        assert told is None if reason is None else told is not None and reason in told


def test_an_empty_part_leaves_nothing_and_a_second_owner_is_refused(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "models")
    with open_part(folder, "m"), pytest.raises(ConflictError) as refused, open_part(folder, "m"):
        pass
    assert refused.value.code == "pull_running"
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"origin": 1}'])
def test_a_damaged_note_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note").write_bytes(content)
    assert read_note(tmp_path / "note") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("99999999999999", RETRY_AFTER_MAX_S), ("-1", 0), ("soon", 0), ("", 0), (formatdate(0), 0)],
)
def test_retry_after_is_believed_within_limits(text: str, seconds: float) -> None:
    assert _retry_after_s({"Retry-After": text}) == seconds
    assert _retry_after_s({"Retry-After": formatdate(time.time() + 3600)}) == RETRY_AFTER_MAX_S


class NobodyThere:
    """A web whose every connection breaks."""

    def __init__(self, retry_after_s: float = 0.0) -> None:
        self.asked = 0
        self._retry_after_s = retry_after_s

    @asynccontextmanager
    async def get(self, url: URL, headers: Any = None) -> AsyncIterator[None]:
        self.asked += 1
        raise Interrupted("gone", code="source_unreachable", retry_after_s=self._retry_after_s)
        yield


class Silent:
    def note(self, text: str) -> None: ...
    def progress(self, stage: str, done_bytes: int, total_bytes: int | None) -> None: ...


@pytest.mark.parametrize(
    ("retry_after_s", "pauses"),
    [(0.0, [0.5, 1, 2, 4, 8, 16, PAUSE_MAX_S]), (20.0, [20.0] * 6 + [PAUSE_MAX_S])],
)
async def test_pauses_grow_and_the_tries_end(
    tmp_path: Path, retry_after_s: float, pauses: list[float]
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    web = NobodyThere(retry_after_s)
    with open_part(ModelFolder(tmp_path), "m") as part, pytest.raises(Interrupted):
        await transfer(web, TARGET, part, report=Silent(), tries_max=8, sleep=sleep)  # type: ignore[arg-type]
    assert slept == pauses
    assert web.asked == 8
