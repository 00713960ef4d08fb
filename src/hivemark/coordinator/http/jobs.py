"""Routes of jobs: submit, read, follow, call off (docs/spec/http.md 4 and 5)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from hivemark.api import headers, routes
from hivemark.api.http import JobAccepted, JobBody, JobsBody
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import Context, read_body
from hivemark.coordinator.http.bodies import job_body
from hivemark.coordinator.http.context import Asker, Ctx
from hivemark.coordinator.ports import JobEvent, JobRow
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.access import Reader
from hivemark.coordinator.service.assembly import Services
from hivemark.coordinator.service.jobs import PAGE_MAX, JobView, event_json
from hivemark.credits.price import format_credits
from hivemark.errors import InvalidError
from hivemark.jobs.lifecycle import EXECUTION_TRANSITIONS, FINAL_JOB_STATES
from hivemark.protocol.bundle import Bundle, encode_bundle
from hivemark.protocol.times import format_ms

KEEP_ALIVE_S: Final = 15.0
POLL_S: Final = 1.0
_BUNDLES_AT_ONCE: Final = 16
_STATE_AFTER: Final = {event.value: state.value for (_, event), state in EXECUTION_TRANSITIONS.items()}
_SPEC_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
        "description": "A signed JobSpec (docs/spec/jobspec.md).",
    }
}

router = APIRouter(tags=["jobs"])


@router.post(routes.JOBS, status_code=202, openapi_extra=_SPEC_BODY)
async def submit(request: Request, response: Response, context: Ctx) -> JobAccepted:
    """Submit a signed JobSpec; the signature is the credential."""
    raw = await read_body(request)
    key = _idempotency_key(request.headers.get(headers.IDEMPOTENCY_KEY))
    accepted = await context.pool.run(
        context.services.submission.submit, raw, idempotency_key=key, now_ms=now_ms()
    )
    job = accepted.job
    if accepted.replayed:
        response.status_code = 200
        response.headers[headers.IDEMPOTENT_REPLAYED] = "true"
    response.headers["Location"] = routes.JOB.format(job=job.id)
    return JobAccepted(
        id=job.id,
        status=job.state.value,
        spec_id=job.spec_id,
        executions=job.progress.cells,
        held=format_credits(job.held_micro + job.settled_micro),
    )


@router.get(routes.JOBS)
async def list_jobs(
    context: Ctx,
    asker: Asker,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: str | None = None,
) -> JobsBody:
    """Newest first; `next` continues."""
    rows = await context.pool.run(context.services.jobs.page, asker, before=cursor, limit=limit)
    bodies = [job_body(JobView(job=row)) for row in rows]
    return JobsBody(jobs=bodies, next=bodies[-1].id if len(bodies) == limit else None)


@router.get(routes.JOB)
async def get_job(context: Ctx, asker: Asker, job: str, include: str | None = None) -> JobBody:
    """One job, by its id or by the id in its spec; `include=executions` adds its cells."""
    if include not in (None, "executions"):
        raise InvalidError("only `executions` can be included", code="parameter_invalid", field="include")
    return await context.pool.run(_read_job, context.services, job, asker, cells=include is not None)


@router.get(routes.JOB_EVENTS)
async def follow(request: Request, context: Ctx, asker: Asker, job: str) -> Response:
    """The job's events as they happen (SSE); `Last-Event-ID` resumes; ends with the job."""
    seq = _last_event(request.headers.get(headers.LAST_EVENT_ID))
    row = await context.pool.run(context.services.jobs.find, job, asker)
    return StreamingResponse(
        _events(context, row, seq, asker),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@router.get(routes.JOB_BUNDLES)
async def bundles(context: Ctx, asker: Asker, job: str) -> Response:
    """The bundles of every execution with a receipt, one JSON object per line."""
    row = await context.pool.run(context.services.jobs.find, job, asker)
    found = await context.pool.run(context.services.jobs.bundles, row, asker)
    return StreamingResponse(_bundle_lines(context, found), media_type="application/x-ndjson")


@router.post(routes.JOB_CANCEL)
async def cancel(context: Ctx, asker: Asker, job: str) -> JobBody:
    """Call the job off; what runs is cut."""
    row = await context.pool.run(context.services.jobs.cancel, job, asker, now_ms=now_ms())
    return job_body(JobView(job=row))


def _read_job(services: Services, name: str, asker: Reader, *, cells: bool) -> JobBody:
    row = services.jobs.find(name, asker)
    if not cells:
        return job_body(services.jobs.view(row))
    executions = services.jobs.executions(asker, job=row, before=None, limit=row.progress.cells)
    return job_body(services.jobs.view(row), executions)


async def _events(context: Context, job: JobRow, seq: int, asker: Reader) -> AsyncIterator[bytes]:
    """Rows of the stream after `seq`; a wake-up only says that it is worth looking."""
    jobs = context.services.jobs
    quiet_s = 0.0
    with context.wakeups.waiter(hints.of_job(job.id)) as waiter:
        while not context.stopping.is_set():
            events = await context.pool.run(jobs.events, job, seq=seq)
            for event in events:
                yield _event_text(event)
                seq = event.seq
            if events:
                quiet_s = 0.0
                continue
            if (await context.pool.run(jobs.find, job.id, asker)).state in FINAL_JOB_STATES:
                for event in await context.pool.run(jobs.events, job, seq=seq):
                    yield _event_text(event)
                return
            if not await waiter.wait(POLL_S):
                quiet_s += POLL_S
            if quiet_s >= KEEP_ALIVE_S:
                quiet_s = 0.0
                yield b": still here\n\n"


def _event_text(event: JobEvent) -> bytes:
    data = {"at": format_ms(event.at_ms), "job": event.job}
    if event.name in _STATE_AFTER:
        data["state"] = _STATE_AFTER[event.name]
    text = json.dumps(data | event_json(event), ensure_ascii=False)
    return f"id: {event.seq}\nevent: {event.name}\ndata: {text}\n\n".encode()


async def _bundle_lines(context: Context, found: Iterator[Bundle]) -> AsyncIterator[bytes]:
    while lines := await context.pool.run(_some_lines, found):
        yield lines
        await asyncio.sleep(0)


def _some_lines(found: Iterator[Bundle]) -> bytes:
    return b"".join(_one_line(bundle) for bundle in islice(found, _BUNDLES_AT_ONCE))


def _one_line(bundle: Bundle) -> bytes:
    return json.dumps(json.loads(encode_bundle(bundle)), ensure_ascii=False).encode() + b"\n"


def _idempotency_key(value: str | None) -> str | None:
    """A structured-field string is quoted; many clients send the bare text."""
    if value is not None and len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def _last_event(value: str | None) -> int:
    if value is None or value == "":
        return 0
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise InvalidError("expected the id of an event", code="parameter_invalid", field="Last-Event-ID")
    return int(value)
