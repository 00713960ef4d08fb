"""One model, from where it lies to the index of this machine.

1. Resolve the source to one file, with what the source promises of it.
2. Choose the name; a name never gets another model, and a file that is here is not fetched again.
3. Lock the name, go on with what is here or begin.
4. Check the whole: length, digest, head. What does not verify is removed.
5. Sync, rename, record: from then on the hive offers it.
"""

import asyncio
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hivemark.errors import ConflictError, HivemarkError, InvalidError, UnavailableError, UnverifiedError
from hivemark.gguf.facts import ModelFacts, read_facts
from hivemark.models_local.copying import BLOCK_BYTES, copy_file
from hivemark.models_local.files import NO_ROOM, size, sync_folder
from hivemark.models_local.folder import ModelFolder, Record, stamp_of
from hivemark.models_local.hub import resolve
from hivemark.models_local.partial import Part, open_part
from hivemark.models_local.source import HubSource, Source, Target, name_of, require_name, target_of
from hivemark.models_local.transfer import Report, pause_after, transfer
from hivemark.models_local.web import Interrupted, Web

TRIES_MAX: Final = 6
PREFERRED: Final = ("q8_0", "q4_0", "f16", "f32")


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted. `taken` are names that other models of this machine have, each with who has it;
    `preferred` are quantisations in the order in which one is suggested."""

    source: Source
    source_text: str
    name: str | None = None
    sha256: str | None = None
    taken: Mapping[str, str] | None = None
    preferred: Sequence[str] = PREFERRED
    tries_max: int = TRIES_MAX

    @property
    def command(self) -> str:
        """What to type to go on with this."""
        return f"hivemark models pull {shlex.quote(self.source_text)}" + (
            f" --name {self.name}" if self.name else ""
        )


@dataclass(frozen=True, slots=True)
class Pulled:
    """`was_here` when nothing had to be fetched."""

    record: Record
    was_here: bool


async def pull(order: Order, folder: ModelFolder, web: Web, *, report: Report, now: str) -> Pulled:
    """Fetch a model as the module says; `now` (RFC 3339) is noted in its record.

    An interruption of any kind leaves the part for the next call with the same source.
    """
    target = await _resolve(order, web, report)
    if None not in (order.sha256, target.sha256) and order.sha256 != target.sha256:
        raise UnverifiedError(
            f"the source says {target.sha256} and --sha256 {order.sha256}",
            code="digest_mismatch",
            hint="nothing was fetched; which of the two do you trust?",
        )
    name = require_name(order.name or name_of(target))
    here = _already_here(order, target, name, folder)
    if here is not None:
        return Pulled(here, was_here=True)
    with open_part(folder, name) as part:
        here = _already_here(order, target, name, folder)
        if here is not None:
            return Pulled(here, was_here=True)
        _require_free(folder, name)
        try:
            await _fetch(order, target, part, web, report)
            digest, facts = await _verify(order, target, part, report)
            same = next((each for each in folder.listing().records if each.sha256 == digest), None)
            if same is not None:
                part.start_over()
                return Pulled(_as_it_was(same, order, folder), was_here=True)
            part.sync()
            record = _install(folder, name, target, part, digest, facts, now)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise _no_room(order, part) from error
        return Pulled(record, was_here=False)


async def _resolve(order: Order, web: Web, report: Report) -> Target:
    if not isinstance(order.source, HubSource):
        return target_of(order.source)
    failures = 0
    while True:
        try:
            return await resolve(web, order.source, preferred=order.preferred)
        except Interrupted as stopped:
            failures += 1
            if failures >= order.tries_max:
                raise
            pause_s = pause_after(failures, stopped)
            report.note(f"{stopped.message}; asking again in {pause_s:g} s")
            await asyncio.sleep(pause_s)


def _already_here(order: Order, target: Target, name: str, folder: ModelFolder) -> Record | None:
    """The record of this very file; raises `ConflictError` where its name is another model's."""
    listing = folder.listing()
    expected = order.sha256 or target.sha256
    for record in listing.records:
        if record.origin == target.origin and expected in (None, record.sha256):
            return _as_it_was(record, order, folder)
        if expected is not None and record.sha256 == expected:
            return _as_it_was(record, order, folder)
    lowered = name.lower()
    holders = {record.name.lower(): f"a model from {record.origin}" for record in listing.records}
    holders |= {other.lower(): "a model whose record is damaged" for other, _ in listing.damaged}
    others = {other.lower(): who for other, who in (order.taken or {}).items()}
    if lowered in others:
        raise ConflictError(
            f"the name {name} belongs to {others[lowered]}",
            code="model_name_taken",
            hint="choose another one with --name",
        )
    if lowered in holders:
        raise ConflictError(
            f"the name {name} belongs to {holders[lowered]}",
            code="model_name_taken",
            hint=f"choose another one with --name, or hivemark models rm {name}",
        )
    return None


def _as_it_was(record: Record, order: Order, folder: ModelFolder) -> Record:
    """The record, if the file is still the one that was pulled and nobody asked for it by another name."""
    if order.name is not None and order.name != record.name:
        raise ConflictError(
            f"this very file is here already, as {record.name}",
            code="model_present",
            hint=f"use it by that name, or hivemark models rm {record.name} first",
        )
    if not folder.file(record.name).exists() or stamp_of(folder.file(record.name)) != record.stamp:
        raise ConflictError(
            f"{record.name} was pulled from there, but its file is gone or was changed since",
            code="model_damaged",
            hint=f"hivemark models rm {record.name}, then pull it again",
        )
    return record


def _require_free(folder: ModelFolder, name: str) -> None:
    if folder.file(name).exists():
        raise ConflictError(
            f"{folder.file(name)} is in the way: it was not pulled",
            code="file_in_the_way",
            hint="move it elsewhere, then: hivemark models pull file:THERE",
        )


async def _fetch(order: Order, target: Target, part: Part, web: Web, report: Report) -> None:
    reason = part.why_not_usable(target)
    if reason is not None:
        report.note(f"starting over: {size(part.size_bytes)} are here, but {reason}")
        part.start_over()
    elif part.size_bytes:
        report.note(f"going on: {size(part.size_bytes)} are here")
    if isinstance(target.place, Path):
        await copy_file(target, part, report=report)
        return
    try:
        await transfer(web, target, part, report=report, tries_max=order.tries_max)
    except Interrupted as stopped:
        stopped.message = f"{stopped.message}; {size(part.size_bytes)} are kept"
        stopped.hint = f"{order.command} (goes on from there)"
        raise


async def _verify(order: Order, target: Target, part: Part, report: Report) -> tuple[str, ModelFacts]:
    """Digest and facts of the whole part; what does not verify is not kept."""
    try:
        digest = await _digest(part, report)
        for expected, who in ((order.sha256, "--sha256"), (target.sha256, "the source")):
            if expected is not None and digest != expected:
                raise UnverifiedError(
                    f"the file has SHA-256 {digest}, and {who} says {expected}",
                    code="digest_mismatch",
                    hint="what came was removed; pull again, and if it stays so ask who published it",
                )
        facts = read_facts(part.path)
    except HivemarkError as error:
        part.start_over()
        error.hint = error.hint or "what came was removed; the file is damaged or cut off where it came from"
        raise
    return digest, facts


async def _digest(part: Part, report: Report) -> str:
    digest, done = hashlib.sha256(), 0
    with part.path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            report.progress("checking", done, part.size_bytes)
            await asyncio.sleep(0)  # where Ctrl-C gets in
    return digest.hexdigest()


def _install(
    folder: ModelFolder, name: str, target: Target, part: Part, digest: str, facts: ModelFacts, now: str
) -> Record:
    """A kill before the record leaves file and note, which the next `open_part` takes back."""
    final = folder.file(name)
    part.path.rename(final)
    sync_folder(folder.path)
    record = Record(
        name=name,
        sha256=digest,
        size_bytes=part.size_bytes,
        stamp=stamp_of(final),
        origin=target.origin,
        commit=target.commit,
        pulled_at=now,
        facts=facts,
    )
    folder.add(record)
    part.forget_note()
    return record


def _no_room(order: Order, part: Part) -> UnavailableError:
    total = part.note.total_bytes if part.note else None
    rest = "" if total is None else f" of {size(total)}"
    missing = "some space" if total is None else size(total - part.size_bytes)
    return UnavailableError(
        f"the disk of {part.path.parent} is full: {size(part.size_bytes)}{rest} are here and are kept",
        code="storage_full",
        hint=f"free {missing}, then {order.command} (goes on from there)",
    )


def require_sha256(text: str) -> str:
    """A digest as people copy it; raises `InvalidError` code `digest_malformed`."""
    digest = text.strip().lower().removeprefix("sha256:")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidError("a SHA-256 has 64 hex digits", code="digest_malformed", field="sha256")
    return digest
