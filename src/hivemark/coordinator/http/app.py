"""The application: routers, problems, middleware. Links and calls have routes from `gateway`, in front."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from hivemark.api.link import LINK_PATH
from hivemark.api.openai import V1
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

_HOT: Final = (f"{V1}/", LINK_PATH)


def build_app(context: Context) -> FastAPI:
    """The control plane: every route of docs/spec/http.md but those of the gateway."""
    app = FastAPI(title="Hivemark coordinator", version=VERSION, docs_url=None, redoc_url=None)
    app.state.context = context
    for module in (operations, jobs, executions, catalogue, machines, keys, apikeys, transparency):
        app.include_router(module.router)
    add_problem_handlers(app)
    return app


class Front:
    """What is hot goes past the control plane's application: its layers would cost each event of a stream
    more than relaying it."""

    def __init__(self, context: Context, hot: Sequence[BaseRoute], *, random: Random) -> None:
        self._control = build_app(context)
        gateway = Starlette(routes=list(hot))
        add_problem_handlers(gateway)
        self._app = RequestLog(self._dispatch, metrics=context.services.metrics, random=random)
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_hot = scope["type"] != "lifespan" and scope["path"].startswith(_HOT)
        await (self._gateway if is_hot else self._control)(scope, receive, send)
