"""In whose name a call of the OpenAI endpoints is made: an API key's account, or the one that signed it."""

from starlette.requests import Request

from hivemark.api import headers
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import Context, read_body
from hivemark.coordinator.service.apikeys import Scope
from hivemark.coordinator.service.calls import Caller
from hivemark.errors import UnauthenticatedError


async def caller_of(request: Request, context: Context, *, scope: Scope = Scope.INFERENCE) -> Caller:
    """Raises `UnauthenticatedError`, or `ForbiddenError` for a key without the scope."""
    services = context.services
    kind, _, credential = request.headers.get(headers.AUTHORIZATION, "").partition(" ")
    match kind.lower():
        case "bearer" if credential.strip():
            token = credential.strip()
            key = services.api_keys.recall(token, scope=scope, now_ms=now_ms())
            if key is None:
                key = await context.pool.run(services.api_keys.authorize, token, scope=scope, now_ms=now_ms())
            return Caller(account=key.account, api_key=key)
        case "hivemark":
            body = await read_body(request)
            now = now_ms()
            path: bytes = request.scope["raw_path"]
            query: bytes = request.scope["query_string"]
            signed = headers.verify_request(
                credential.strip(),
                method=request.method,
                target=(path + b"?" + query if query else path).decode("ascii"),
                body=body,
                now_ms=now,
            )
            reader = await context.pool.run(services.credentials.by_signature, signed, now_ms=now)
            assert reader.account is not None, "a signature is an account's"
            return Caller(account=reader.account)
        case _:
            raise UnauthenticatedError(
                "you did not provide an API key",
                code="invalid_api_key",
                hint="send `Authorization: Bearer hm_…`; `hivemark api-keys create` makes one",
            )
