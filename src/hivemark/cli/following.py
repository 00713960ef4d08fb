"""Following a job until it is final: the matrix live on a terminal, a line now and then elsewhere."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rich.live import Live

from hivemark.cli.matrix import Matrix, progress_line, render_matrix
from hivemark.cli.output import Output
from hivemark.client.sdk import HivemarkClient
from hivemark.client.views import Job

REDRAWS_PER_S: Final = 8
PLAIN_LINE_EVERY_S: Final = 2.0


async def follow_job(client: HivemarkClient, job: str, output: Output, *, since: float | None = None) -> Job:
    """Show a job's progress until it is final; the answer holds all its executions.

    `since` is the `time.monotonic()` from which the shown seconds count.
    """
    start = time.monotonic() if since is None else since
    view = await client.job(job, executions=True)
    matrix = Matrix.of(view.executions)
    if not view.is_final:
        show = _follow_live if output.is_live else _follow_plain
        await show(client, job, matrix, output, lambda: time.monotonic() - start)
    return await client.job(job, executions=True)


async def _follow_live(
    client: HivemarkClient, job: str, matrix: Matrix, output: Output, elapsed_s: Callable[[], float]
) -> None:
    with Live(
        get_renderable=lambda: render_matrix(matrix, elapsed_s=elapsed_s()),
        console=output.people,
        refresh_per_second=REDRAWS_PER_S,
    ):
        async for event in client.events(job):
            matrix.move(event.body.execution, event.body.state)


async def _follow_plain(
    client: HivemarkClient, job: str, matrix: Matrix, output: Output, elapsed_s: Callable[[], float]
) -> None:
    printer = asyncio.create_task(_print_lines(matrix, output, elapsed_s))
    try:
        async for event in client.events(job):
            matrix.move(event.body.execution, event.body.state)
    finally:
        printer.cancel()
    output.say(progress_line(matrix, elapsed_s=elapsed_s()))


async def _print_lines(matrix: Matrix, output: Output, elapsed_s: Callable[[], float]) -> None:
    while True:
        await asyncio.sleep(PLAIN_LINE_EVERY_S)
        output.say(progress_line(matrix, elapsed_s=elapsed_s()))
