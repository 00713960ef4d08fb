"""Getting the bytes of one file into its part: resumed by range, never mixed of two versions, bounded.

1. What is here is gone on with when it is of the same version: `Range` with `If-Range`.
2. 206 that continues exactly there, of the same version and length, is appended. Anything else starts over.
3. 200 starts over from nothing: the file changed, or the server cannot resume.
4. A body that is longer than promised is cut off with an error; one that ends early is an interruption.
5. After an interruption it goes on, with growing pauses, until `tries_max` in a row got nothing done.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import aiohttp
from yarl import URL

from hivemark.errors import BadUpstreamError, InvalidError
from hivemark.gguf.head import MAGIC
from hivemark.models_local.files import require_room, room_bytes, size
from hivemark.models_local.partial import Part
from hivemark.models_local.source import Target
from hivemark.models_local.web import Interrupted, Web

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0
PROGRESS_BYTES_MIN: Final = 65_536  # what a try has to get done not to count as failed
RESTARTS_MAX: Final = 3
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d{1,18})-(?P<last>\d{1,18})/(?P<total>\d{1,18}|\*)")


class Report(Protocol):
    """Whom the download tells how it goes."""

    def note(self, text: str) -> None:
        """Something happened that a person should know."""

    def progress(self, stage: str, done_bytes: int, total_bytes: int | None) -> None:
        """How far a stage is; called often."""


class _StartOver(Exception):
    """What is here and what comes are not one file."""


async def transfer(
    web: Web,
    target: Target,
    part: Part,
    *,
    report: Report,
    tries_max: int,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Until the part is as long as the file; raises the last `Interrupted` when `tries_max` got nowhere."""
    failures = restarts = 0
    while True:
        before = part.size_bytes
        try:
            await _attempt(web, target, part, report)
            return
        except _StartOver as changed:
            restarts += 1
            if restarts > RESTARTS_MAX:
                raise BadUpstreamError(
                    f"gave up after {RESTARTS_MAX} new beginnings: {changed}", code="cannot_resume"
                ) from changed
            report.note(f"starting over: {changed}")
            part.start_over()
        except Interrupted as stopped:
            got_on = part.size_bytes - before >= PROGRESS_BYTES_MIN
            failures = 1 if got_on else failures + 1
            if failures >= tries_max:
                raise
            pause_s = pause_after(failures, stopped)
            report.note(f"{stopped.message}; going on at {size(part.size_bytes)} in {pause_s:g} s")
            await sleep(pause_s)


def pause_after(failures: int, stopped: Interrupted) -> float:
    """Seconds: growing with every failure (the first is 1), and as long as the server asked for."""
    return max(stopped.retry_after_s, min(PAUSE_MAX_S, PAUSE_FIRST_S * (1 << min(failures - 1, 20))))


async def _attempt(web: Web, target: Target, part: Part, report: Report) -> None:
    """One connection."""
    assert isinstance(target.place, URL)
    total = target.size_bytes or (part.note.total_bytes if part.note else None)
    if part.size_bytes and part.size_bytes == total:
        return
    async with web.get(target.place, _range(part)) as got:
        if got.status == 206:
            total = _require_continuation(part, got)
        elif got.status == 416:
            raise _StartOver("the server's file is shorter than what is here")
        elif part.size_bytes:
            raise _StartOver(_why_whole(part, got))
        else:
            total = _begin(target, part, got)
        require_room(part.path.parent, (total or 0) - part.size_bytes)
        await _read(got, part, total, report)


async def _read(got: aiohttp.ClientResponse, part: Part, total: int | None, report: Report) -> None:
    limit = total if total is not None else part.size_bytes + room_bytes(part.path.parent)
    async for portion in got.content.iter_any():
        if part.size_bytes == 0:
            _require_gguf(portion, got)
        if part.size_bytes + len(portion) > limit:
            part.write(portion[: limit - part.size_bytes])
            raise BadUpstreamError(
                f"the server sends more than the {size(limit)} that "
                + ("it promised" if total is not None else "the disk has room for"),
                code="body_too_long",
            )
        part.write(portion)
        report.progress("downloading", part.size_bytes, total)
    if total is not None and part.size_bytes < total:
        raise Interrupted(
            f"the server ended at {part.size_bytes:,} of {total:,} bytes", code="download_truncated"
        )


def _range(part: Part) -> dict[str, str]:
    if part.size_bytes == 0:
        return {}
    headers = {"Range": f"bytes={part.size_bytes}-"}
    if part.note is not None and part.note.validator is not None:
        headers["If-Range"] = part.note.validator
    return headers


def _begin(target: Target, part: Part, got: aiohttp.ClientResponse) -> int | None:
    """Note which version this is; the size the source promised has to be the one the server promises."""
    told = got.content_length
    if told is not None and target.size_bytes is not None and told != target.size_bytes:
        raise BadUpstreamError(
            f"the server promises {told:,} bytes for a file of {target.size_bytes:,}", code="size_mismatch"
        )
    total = target.size_bytes if target.size_bytes is not None else told
    require_room(part.path.parent, total or 0)
    part.begin(target, validator=_validator(got), total_bytes=total)
    return total


def _validator(got: aiohttp.ClientResponse) -> str | None:
    """A strong ETag, else the date of the last change; a weak ETag promises no equal bytes."""
    etag = got.headers.get("ETag")
    if etag is not None:
        return None if etag.startswith("W/") or len(etag) > 500 else etag
    return got.headers.get("Last-Modified", "")[:100] or None


def _require_continuation(part: Part, got: aiohttp.ClientResponse) -> int | None:
    """The length of the whole file."""
    found = _CONTENT_RANGE.fullmatch(got.headers.get("Content-Range", ""))
    if part.size_bytes == 0 or found is None or int(found["first"]) != part.size_bytes:
        raise _StartOver("the server sent another part than was asked for")
    if part.note is None:
        raise _StartOver("nobody knows what is here a part of")
    if found["total"] != "*" and part.note.total_bytes not in (None, int(found["total"])):
        raise _StartOver("the file at the server has another length now")
    if part.note.validator is not None and _validator(got) != part.note.validator:
        raise _StartOver("the file at the server changed")
    told = None if found["total"] == "*" else int(found["total"])
    return part.note.total_bytes if part.note.total_bytes is not None else told


def _why_whole(part: Part, got: aiohttp.ClientResponse) -> str:
    is_same = (
        part.note is not None and part.note.validator is not None and part.note.validator == _validator(got)
    )
    return "the server cannot resume" if is_same else "the file at the server changed"


def _require_gguf(portion: bytes, got: aiohttp.ClientResponse) -> None:
    if portion[:4] != MAGIC[: len(portion)]:
        kind = got.headers.get("Content-Type", "").partition(";")[0][:60]
        what = "a web page" if kind == "text/html" else f"something else ({kind or 'of no told type'})"
        raise InvalidError(
            f"{got.url.host} sent {what}, not a GGUF file",
            code="not_gguf",
            hint="is it the address of the file itself, and does it open without a login?",
        )
