"""What every HTTP route needs: the shared context, who is asking, and typed bodies."""

from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from hivemark.api import headers
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import Context, read_body
from hivemark.coordinator.service.access import ANYONE, Reader
from hivemark.errors import InvalidError, UnauthenticatedError
from hivemark.protocol.strictjson import parse_json_object

M = TypeVar("M", bound=BaseModel)


def context_of(request: Request) -> Context:
    """The application's context."""
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


async def parse_post(request: Request, model: type[M]) -> M:
    """A small JSON body as `model`; an empty one stands for an empty object."""
    value = parse_json_object(await read_body(request) or b"{}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        code = "member_unknown" if first["type"] == "extra_forbidden" else "member_invalid"
        raise InvalidError(first["msg"], code=code, field=field) from None


async def reader_of(request: Request) -> Reader:
    """Who is asking, by `Authorization` (spec/http 3); nobody without one."""
    value = request.headers.get(headers.AUTHORIZATION)
    if value is None:
        return ANYONE
    context = context_of(request)
    scheme, _, credential = value.partition(" ")
    match scheme.lower():
        case "bearer":
            return context.services.credentials.by_token(credential.strip())
        case "hivemark":
            body = await read_body(request)
            now = now_ms()
            signed = headers.verify_request(
                credential.strip(), method=request.method, target=_target(request), body=body, now_ms=now
            )
            return await context.pool.run(context.services.credentials.by_signature, signed, now_ms=now)
        case _:
            raise UnauthenticatedError("expected Bearer or Hivemark", code="scheme_unknown")


def _target(request: Request) -> str:
    """Path and query exactly as they were sent."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii")


Ctx = Annotated[Context, Depends(context_of)]
Asker = Annotated[Reader, Depends(reader_of)]
