"""Routes for those who run the coordinator: health, metrics, version, and where things are."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response as PlainResponse

from hivemark.api import routes
from hivemark.api.http import (
    DependenciesBody,
    DependencyBody,
    HealthBody,
    HiveCountsBody,
    VersionBody,
)
from hivemark.api.link import PROTOCOL_VERSION
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.http.context import Ctx
from hivemark.coordinator.service.assembly import Services
from hivemark.coordinator.service.health import Probe
from hivemark.coordinator.version import VERSION
from hivemark.errors import UnavailableError

router = APIRouter(tags=["operations"])


@router.get(routes.ROOT)
async def root(context: Ctx) -> dict[str, Any]:
    """Where to go from here."""
    return {
        "hivemark": VERSION,
        "network": context.services.identity.network,
        "links": {
            "health": routes.HEALTH,
            "jobs": routes.JOBS,
            "executions": routes.EXECUTIONS,
            "questions": routes.QUESTIONS,
            "models": routes.MODELS,
            "regions": routes.REGIONS,
            "hives": routes.HIVES,
            "log": routes.CHECKPOINT,
            "policy": routes.POLICY,
            "metrics": routes.METRICS,
            "openapi": routes.OPENAPI,
        },
        "next": "hivemark join LINK on another machine, hivemark run --question … to ask something",
    }


@router.get(routes.HEALTH)
async def health(context: Ctx) -> HealthBody:
    """What the coordinator stands on, as last probed; always 200 while it can answer."""
    return await context.pool.run(_health, context.services)


@router.get(routes.READY)
async def ready(context: Ctx) -> HealthBody:
    """200 when work can be taken on, else 503."""
    body = await context.pool.run(_health, context.services)
    if context.stopping.is_set():
        raise UnavailableError("the coordinator is stopping", code="not_ready")
    if body.status != "ok":
        reasons = " · ".join(_failures(body.dependencies))
        raise UnavailableError(f"not ready for work: {reasons}", code="not_ready", hint="hivemark doctor")
    return body


@router.get(routes.LIVE)
async def live() -> dict[str, str]:
    """200 while the process answers at all."""
    return {"status": "ok"}


@router.get(routes.METRICS, response_class=PlainResponse)
async def metrics(context: Ctx) -> Response:
    """Prometheus text."""
    text = await context.pool.run(_metrics, context.services)
    return PlainResponse(text, media_type=CONTENT_TYPE_LATEST)


@router.get(routes.VERSION)
async def version(context: Ctx) -> VersionBody:
    """The program's version and the link's protocol."""
    return VersionBody(version=VERSION, network=context.services.identity.network, protocol=PROTOCOL_VERSION)


def _health(services: Services) -> HealthBody:
    now = now_ms()
    probes = services.health.check(now_ms=now)
    return HealthBody(
        status="ok" if _passed(probes) else "degraded",
        version=VERSION,
        network=services.identity.network,
        dependencies=DependenciesBody(
            database=_dependency(probes["database"], now),
            log=_dependency(probes["log"], now),
            blobs=_dependency(probes["blobs"], now),
            hives=_hive_counts(services),
        ),
    )


def _hive_counts(services: Services) -> HiveCountsBody:
    try:
        active = [hive for hive in services.hives.all() if hive.status == "active"]
    except UnavailableError:
        return HiveCountsBody(enrolled=None, linked=None)
    return HiveCountsBody(enrolled=len(active), linked=sum(hive.linked for hive in active))


def _failures(dependencies: DependenciesBody) -> Iterator[str]:
    named = {"database": dependencies.database, "log": dependencies.log, "blobs": dependencies.blobs}
    for name, dependency in named.items():
        if dependency.status == "failed":
            yield f"{name}: {dependency.detail}"


def _passed(probes: Mapping[str, Probe]) -> bool:
    return all(probe.failure is None for probe in probes.values())


def _dependency(probe: Probe, now: int) -> DependencyBody:
    return DependencyBody(
        status="ok" if probe.failure is None else "failed",
        age_s=max(0, now - probe.at_ms) / 1000,
        detail=probe.failure,
    )


def _metrics(services: Services) -> bytes:
    services.census.refresh(now_ms=now_ms())
    return generate_latest(services.metrics.registry)
