"""Errors as RFC 9457 problems, and the outermost layer that answers for what nobody foresaw."""

from http import HTTPStatus
from typing import Final

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from hivemark.api import headers, openai
from hivemark.api.http import Problem
from hivemark.api.status import KIND_OF_STATUS, STATUS
from hivemark.coordinator.limits import refusal_headers
from hivemark.coordinator.service.limits import RateLimited
from hivemark.errors import CancelledError, HivemarkError, InternalError, InvalidError, Kind

PROBLEM_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = "1"
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_log = structlog.get_logger(__name__)


def add_problem_handlers(app: Starlette) -> None:
    """Every way to fail answers in the one form."""
    app.add_exception_handler(HivemarkError, _known)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(Exception, _unforeseen)


def request_id_of(request: Request) -> str:
    """The id that the middleware gave this request."""
    return str(getattr(request.state, "request_id", ""))


def problem(request: Request, error: HivemarkError, *, status: int | None = None) -> Response:
    """The answer for an error; statuses come from the one table."""
    code = status or STATUS[error.kind]
    if request.url.path.startswith(f"{openai.V1}/"):
        return _openai_answer(error, code)
    body = Problem(
        title=_PHRASES.get(code, "Client Closed Request"),
        status=code,
        detail=error.message,
        code=error.code,
        field=error.field,
        hint=error.hint,
        request_id=request_id_of(request),
        retryable=error.retryable,
    )
    answer = Response(body.model_dump_json(), status_code=code, media_type=PROBLEM_TYPE)
    if isinstance(error, RateLimited):
        answer.headers.update(refusal_headers(error))
    elif error.retryable:
        answer.headers["Retry-After"] = _RETRY_AFTER_S
    if code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = f"Bearer, {headers.SCHEME}"
    return answer


def _openai_answer(error: HivemarkError, status: int) -> Response:
    """Clients of the OpenAI endpoints read errors in OpenAI's form alone."""
    answer = JSONResponse(openai.error_object(error), status_code=status)
    if isinstance(error, RateLimited):
        answer.headers.update(refusal_headers(error))
    elif error.retryable:
        answer.headers["Retry-After"] = _RETRY_AFTER_S
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, HivemarkError)
    if error.kind is Kind.INTERNAL:
        _log.error("internal_error", code=error.code, message=error.message, exc_info=error)
    return problem(request, error)


async def _gone(request: Request, _: Exception) -> Response:
    """The client left while it was sending: nobody hears this answer, and nothing is wrong here."""
    return problem(request, CancelledError("the client went away", code="client_gone"))


async def _not_valid(request: Request, error: Exception) -> Response:
    """Query parameters; bodies are parsed by `context.parse_post`."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return problem(request, InvalidError(first["msg"], code="parameter_invalid", field=field))


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = KIND_OF_STATUS.get(error.status_code, Kind.INVALID)
    known = HivemarkError(str(error.detail), code=_ROUTING_CODES.get(error.status_code, str(kind)))
    answer = problem(request, known, status=error.status_code)
    answer.headers.update(error.headers or {})
    return answer


_ROUTING_CODES: Final = {404: "unknown_route", 405: "method_not_allowed"}


async def _unforeseen(request: Request, error: Exception) -> Response:
    """Starlette raises the error again after this answer; nothing of it is shown to the client."""
    _log.error("unforeseen_error", request_id=request_id_of(request), exc_info=error)
    return problem(request, InternalError("something failed that should not", code="internal"))
