"""The application: routers, problems, middleware. The link's routes come from `gateway`."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute

from hivemark.coordinator.context import Context
from hivemark.coordinator.http import (
    apikeys,
    catalogue,
    executions,
    jobs,
    keys,
    machines,
    operations,
    transparency,
)
from hivemark.coordinator.http.middleware import RequestLog
from hivemark.coordinator.http.problems import add_problem_handlers
from hivemark.coordinator.service.identity import Random
from hivemark.coordinator.version import VERSION


def build_app(context: Context, *, extra_routes: Sequence[BaseRoute] = (), random: Random) -> FastAPI:
    """Every route of docs/spec/http.md over these services."""
    app = FastAPI(title="Hivemark coordinator", version=VERSION, docs_url=None, redoc_url=None)
    app.state.context = context
    for module in (operations, jobs, executions, catalogue, machines, keys, apikeys, transparency):
        app.include_router(module.router)
    app.router.routes.extend(extra_routes)
    add_problem_handlers(app)
    app.add_middleware(RequestLog, metrics=context.services.metrics, random=random)
    return app
