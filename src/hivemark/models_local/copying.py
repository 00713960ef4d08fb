"""Taking over a file of this machine: copied, so that what is offered later is not changed under the hive."""

import asyncio
from pathlib import Path
from typing import Final

from hivemark.errors import ConflictError, InvalidError, NotFoundError
from hivemark.gguf.head import MAGIC
from hivemark.models_local.files import require_room
from hivemark.models_local.folder import stamp_of
from hivemark.models_local.partial import Part
from hivemark.models_local.source import Target
from hivemark.models_local.transfer import Report

BLOCK_BYTES: Final = 4 * 1_048_576


async def copy_file(target: Target, part: Part, *, report: Report) -> None:
    """Until the part is as long as the file; `ConflictError` code `file_changed` when that changed midway."""
    assert isinstance(target.place, Path)
    try:
        stamp, total = stamp_of(target.place), target.place.stat().st_size
        source = target.place.open("rb")
    except OSError as error:
        raise NotFoundError(f"{target.place}: {error.strerror}", code="model_file") from error
    with source:
        if part.size_bytes and (part.note is None or part.note.validator != stamp):
            report.note("starting over: the file changed")
            part.start_over()
        require_room(part.path.parent, total - part.size_bytes)
        if part.size_bytes == 0:
            if source.read(len(MAGIC)) != MAGIC:
                raise InvalidError(f"{target.place} is not a GGUF file", code="not_gguf")
            part.begin(target, validator=stamp, total_bytes=total)
        source.seek(part.size_bytes)
        while block := source.read(BLOCK_BYTES):
            part.write(block)
            report.progress("copying", part.size_bytes, total)
            await asyncio.sleep(0)  # where Ctrl-C gets in
    if stamp_of(target.place) != stamp or part.size_bytes != total:
        part.start_over()
        raise ConflictError(
            f"{target.place} changed while it was copied",
            code="file_changed",
            hint="wait until nobody writes it any more",
        )
