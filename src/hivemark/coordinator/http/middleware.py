"""Around every request: an id, a duration by route template, and a log line for what failed."""

import re
import time
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hivemark.api import headers
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.service.identity import Random
from hivemark.protocol.ids import new_id

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = structlog.get_logger(__name__)


class RequestLog:
    """Plain ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, random: Random) -> None:
        self._app = app
        self._metrics = metrics
        self._random = random

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[headers.REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._note(scope, request_id, status, time.perf_counter() - began)

    def _request_id(self, scope: Scope) -> str:
        given = Headers(scope=scope).get(headers.REQUEST_ID, "")
        if _REQUEST_ID.fullmatch(given):
            return given
        return new_id("req", now_ms=now_ms(), random=self._random)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method=method, route=route, status=str(status)).observe(seconds)
        note = _log.info if status >= 400 else _log.debug
        note(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            request_id=request_id,
        )
