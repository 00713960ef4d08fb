"""The worker's routes, behind one bearer token; every refusal is OpenAI's error object."""

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hivemark.api.status import STATUS
from hivemark.errors import HivemarkError, InternalError, UnauthenticatedError
from hivemark.worker.chat_endpoint import ChatEndpoint
from hivemark.worker.chat_response import encode_json
from hivemark.worker.error_object import error_object
from hivemark.worker.generator import Generator
from hivemark.worker.identity import Identity

RETRY_AFTER_S: Final = 1


def make_app(generator: Generator, identity: Identity, *, token: str) -> ASGIApp:
    """The ASGI application of a loaded worker."""

    async def health(_request: Request) -> Response:
        busy, waiting = generator.is_busy, generator.waiting
        return _json({"status": "ok", "loaded": True, "busy": busy, "queue": waiting})

    async def models(_request: Request) -> Response:
        return _json(identity.model_list())

    routes = [
        Route("/health", health),
        Route("/v1/models", models),
        Route("/v1/chat/completions", ChatEndpoint(generator, identity), methods=["POST"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={HivemarkError: _refusal, HTTPException: _routing, Exception: _fault},
    )
    return _BearerGate(app, token)


class _BearerGate:
    """Lets through who knows the token, compared in constant time; nobody else learns which routes exist."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = b"Bearer " + token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        refusal = _json(
            error_object(UnauthenticatedError("the bearer token is wrong", code="invalid_api_key")),
            status=HTTPStatus.UNAUTHORIZED,
            headers={"WWW-Authenticate": "Bearer"},
        )
        await refusal(scope, receive, send)


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HivemarkError)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if error.retryable else {}
    return _json(error_object(error), status=STATUS[error.kind], headers=headers)


async def _routing(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {"message": error.detail, "type": "invalid_request_error", "param": None, "code": None}
    return _json({"error": detail}, status=error.status_code, headers=error.headers)


async def _fault(_request: Request, _error: Exception) -> Response:
    """The answer to our own mistakes; Starlette raises the error again behind it, into the log."""
    return _json(error_object(InternalError()), status=HTTPStatus.INTERNAL_SERVER_ERROR)


def _json(
    value: dict[str, object], *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(encode_json(value), status, headers, "application/json")
