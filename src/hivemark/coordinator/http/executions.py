"""Routes of executions and their evidence (docs/spec/http.md 5)."""

import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response

from hivemark.api import routes
from hivemark.api.http import ExecutionBody, ExecutionsBody, ReceiptBody
from hivemark.coordinator.http.bodies import execution_body
from hivemark.coordinator.http.context import Asker, Ctx
from hivemark.coordinator.service.access import Reader
from hivemark.coordinator.service.assembly import Services
from hivemark.coordinator.service.jobs import PAGE_MAX
from hivemark.protocol.bundle import encode_bundle

router = APIRouter(tags=["executions"])


@router.get(routes.EXECUTIONS)
async def list_executions(
    context: Ctx,
    asker: Asker,
    job: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: str | None = None,
) -> ExecutionsBody:
    """Of one job by ordinal, else of the newest jobs; `next` continues."""
    bodies = await context.pool.run(_read, context.services, asker, job, cursor, limit)
    return ExecutionsBody(executions=bodies, next=bodies[-1].id if len(bodies) == limit else None)


@router.get(routes.EXECUTION)
async def get_execution(context: Ctx, asker: Asker, execution: str) -> ExecutionBody:
    """One execution with the output of its deciding attempt."""
    return execution_body(await context.pool.run(context.services.jobs.execution, execution, asker))


@router.get(routes.EXECUTION_RECEIPT)
async def get_receipt(context: Ctx, asker: Asker, execution: str) -> ReceiptBody:
    """Receipt and acceptance as they stand in the log entry."""
    logged = await context.pool.run(context.services.jobs.receipt, execution, asker)
    entry = json.loads(logged.entry)
    return ReceiptBody(
        execution=logged.execution,
        attempt=logged.attempt,
        receipt=entry["receipt"],
        acceptance=entry["acceptance"],
        entry_sha256=hashlib.sha256(logged.entry).hexdigest(),
    )


@router.get(routes.EXECUTION_PROOF, response_class=PlainTextResponse)
async def get_proof(context: Ctx, asker: Asker, execution: str) -> PlainTextResponse:
    """The `.tlog-proof` of the execution's entry."""
    return PlainTextResponse(await context.pool.run(context.services.jobs.proof, execution, asker))


@router.get(routes.EXECUTION_BUNDLE, response_class=Response)
async def get_bundle(context: Ctx, asker: Asker, execution: str) -> Response:
    """Everything that `hivemark verify` needs."""
    bundle = await context.pool.run(context.services.jobs.bundle, execution, asker)
    return Response(encode_bundle(bundle), media_type="application/json")


def _read(
    services: Services, asker: Reader, job: str | None, cursor: str | None, limit: int
) -> list[ExecutionBody]:
    row = None if job is None else services.jobs.find(job, asker)
    views = services.jobs.executions(asker, job=row, before=cursor, limit=limit)
    return [execution_body(view) for view in views]
