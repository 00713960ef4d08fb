"""Receipts as files: downloading the bundles of a job, and checking them from the files alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hivemark.client.sdk import HivemarkClient
from hivemark.client.verify import DocumentResult, verify_documents
from hivemark.client.views import Execution, Job
from hivemark.errors import HivemarkError, UnverifiedError
from hivemark.translog.policy import Policy

DOWNLOADS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of the files of one folder."""

    folder: Path
    results: tuple[DocumentResult, ...]

    @property
    def count(self) -> int:
        """How many verified."""
        return sum(result.is_verified for result in self.results)

    @property
    def refused(self) -> tuple[DocumentResult, ...]:
        """Those that did not."""
        return tuple(result for result in self.results if not result.is_verified)

    @property
    def line(self) -> str:
        """The outcome in one line for people."""
        return f"verified offline: {self.count} of {len(self.results)} receipts"

    def require_all(self) -> None:
        """Raise the first refusal as `UnverifiedError` with its code, naming the file."""
        for result in self.refused:
            code = result.error.code if result.error is not None else "signers_unknown"
            raise UnverifiedError(f"{result.name}: {_reason(result.error)}", code=code)


async def save_bundles(client: HivemarkClient, job: Job, folder: Path, *, wait_s: float) -> list[Path]:
    """Write one file per execution that has a receipt; waits up to `wait_s` for the log to cover each.

    A folder made here is closed to others: the bundles hold the answers.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    gate = asyncio.Semaphore(DOWNLOADS_AT_ONCE)

    async def save(execution: Execution) -> Path:
        async with gate:
            raw = await client.bundle(execution.id, wait_s=wait_s)
        path = folder / file_name(execution)
        path.write_bytes(raw)
        return path

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(save(each)) for each in job.executions if each.receipt_sha256]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures  # the others failed for the same reason, or were cut short
    return [task.result() for task in tasks]


def verify_saved(paths: Sequence[Path], policy: Policy | None, *, folder: Path) -> Verified:
    """Check files with nothing but their bytes and the policy."""
    return Verified(folder, verify_documents([(path.name, path.read_bytes()) for path in paths], policy))


def file_name(execution: Execution) -> str:
    """Sorts as the cells do, and tells a person what is inside: `007-spell-apple-tiny-EU-1.json`."""
    parts = [f"{execution.ordinal:04d}"]
    parts += [execution.question.id] if execution.question else []
    parts += [execution.model.name] if execution.model else []
    parts += [execution.region.claimed] if execution.region.claimed else []
    name = "-".join([*parts, str(execution.repeat + 1)])
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name) + ".json"


def _reason(error: HivemarkError | None) -> str:
    return str(error) if error is not None else "consistent, but signed by nobody you trust"
