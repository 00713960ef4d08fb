"""What every HTTP route needs: the shared context, who is asking, and typed bodies."""

from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from hivemark.api import headers
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import Context, read_body
from hivemark.coordinator.ports import ApiKey
from hivemark.coordinator.service.access import ANYONE, Reader, Role
from hivemark.coordinator.service.apikeys import TOKEN_PREFIX, Scope
from hivemark.errors import ForbiddenError, InvalidError, UnauthenticatedError
from hivemark.protocol.strictjson import parse_json_object

M = TypeVar("M", bound=BaseModel)
_READING: Final = ("GET", "HEAD")


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
            return await _bearer(context, request.method, credential.strip())
        case "hivemark":
            body = await read_body(request)
            now = now_ms()
            signed = headers.verify_request(
                credential.strip(), method=request.method, target=_target(request), body=body, now_ms=now
            )
            return await context.pool.run(context.services.credentials.by_signature, signed, now_ms=now)
        case _:
            raise UnauthenticatedError("expected Bearer or Hivemark", code="scheme_unknown")


async def api_key_of(context: Context, token: str, scope: Scope) -> ApiKey:
    """The API key of a token; raises as `ApiKeys.authorize`. Known ones cost no trip to the database."""
    keys = context.services.api_keys
    known = keys.recall(token, scope=scope, now_ms=now_ms())
    if known is not None:
        return known
    return await context.pool.run(keys.authorize, token, scope=scope, now_ms=now_ms())


async def _bearer(context: Context, method: str, token: str) -> Reader:
    """Spec/http 3.3 and 3.6: a token of a role, or an API key, which reads for its account."""
    credentials = context.services.credentials
    if not token.startswith(TOKEN_PREFIX) or credentials.role_of(token) is not Role.NOBODY:
        return credentials.by_token(token)
    key = await api_key_of(context, token, Scope.READ)
    if method not in _READING:
        raise ForbiddenError(
            "an API key only reads here",
            code="account_signature_required",
            hint="sign the request with the account's key, or use the endpoints under /v1",
        )
    return Reader(account=key.account, api_key=key)


def _target(request: Request) -> str:
    """Path and query exactly as they were sent."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii")


Ctx = Annotated[Context, Depends(context_of)]
Asker = Annotated[Reader, Depends(reader_of)]
