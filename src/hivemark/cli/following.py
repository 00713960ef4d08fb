"""Following a job until it is final: the matrix live on a terminal, a line now and then elsewhere."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rich.live import Live

from hivemark.cli.matrix import Matrix, progress_line, render_matrix
from hivemark.cli.output import Output
from hivemark.client.sdk import HivemarkClient, JobEvent
from hivemark.client.views import Job
from hivemark.errors import HivemarkError

REDRAWS_PER_S: Final = 8
ROWS_AROUND: Final = 8  # heads, bar and remarks
PLAIN_LINE_EVERY_S: Final = 2.0
ASK_WHY_AFTER_S: Final = 3.0
TROUBLES: Final = {
    "execution_attempt_failed": "failed",
    "execution_lease_lost": "lease lost",
    "execution_failed": "failed for good",
    "execution_dead": "given up",
    "execution_deadline_passed": "out of time",
}


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
    rows_max = output.people.height - ROWS_AROUND
    with Live(
        get_renderable=lambda: render_matrix(matrix, elapsed_s=elapsed_s(), rows_max=rows_max),
        console=output.people,
        refresh_per_second=REDRAWS_PER_S,
    ):
        await _take_in(client, job, matrix)


async def _follow_plain(
    client: HivemarkClient, job: str, matrix: Matrix, output: Output, elapsed_s: Callable[[], float]
) -> None:
    printer = asyncio.create_task(_print_lines(matrix, output, elapsed_s))
    try:
        await _take_in(client, job, matrix)
    finally:
        printer.cancel()
    output.say(progress_line(matrix, elapsed_s=elapsed_s()))


async def _print_lines(matrix: Matrix, output: Output, elapsed_s: Callable[[], float]) -> None:
    while True:
        await asyncio.sleep(PLAIN_LINE_EVERY_S)
        output.say(progress_line(matrix, elapsed_s=elapsed_s()))


async def _take_in(client: HivemarkClient, job: str, matrix: Matrix) -> None:
    """Every event into the matrix; when none comes for a while, ask the coordinator why."""
    news = asyncio.Event()
    asker = asyncio.create_task(_ask_why(client, job, matrix, news))
    try:
        async for event in client.events(job):
            news.set()
            matrix.waiting_for = ()
            matrix.move(event.body.execution, event.body.state)
            matrix.troubles.update(trouble_of(event))
    finally:
        asker.cancel()


def trouble_of(event: JobEvent) -> list[str]:
    """What went wrong, in a few words; nothing for all the events that are as they should be."""
    what = TROUBLES.get(event.name)
    if what is None:
        return []
    why = event.body.failure or event.body.reason
    return [f"{what} ({why})" if why else what]


async def _ask_why(client: HivemarkClient, job: str, matrix: Matrix, news: asyncio.Event) -> None:
    while True:
        news.clear()
        try:
            await asyncio.wait_for(news.wait(), ASK_WHY_AFTER_S)
        except TimeoutError:
            matrix.waiting_for = await _reasons(client, job)


async def _reasons(client: HivemarkClient, job: str) -> tuple[str, ...]:
    try:
        return (await client.job(job)).waiting_for
    except HivemarkError as error:  # the stream of events reconnects by itself; here it is only told
        return (f"the coordinator: {error.message}",)
