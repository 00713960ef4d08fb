"""Routes of API keys: an account's signature makes and ends its own, an admin everybody's (spec/http 8.3)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from hivemark.api import routes
from hivemark.api.http import ApiKeyBody, ApiKeyMadeBody, ApiKeyPost, ApiKeysBody
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.http.bodies import api_key_body
from hivemark.coordinator.http.context import Asker, Ctx, parse_post
from hivemark.coordinator.service.access import Reader, Role
from hivemark.coordinator.service.apikeys import Grant, Scope
from hivemark.coordinator.service.jobs import PAGE_MAX
from hivemark.credits.price import parse_credits
from hivemark.errors import ForbiddenError, HivemarkError, InvalidError, UnauthenticatedError

router = APIRouter(tags=["api-keys"])


@router.post(routes.API_KEYS, status_code=201)
async def make_api_key(request: Request, response: Response, context: Ctx, asker: Asker) -> ApiKeyMadeBody:
    """Make an API key; the token is in this answer and nowhere else."""
    mine = _accounts(asker)
    post = await parse_post(request, ApiKeyPost)
    if mine is not None and post.account not in (None, mine):
        raise ForbiddenError("only an admin makes keys for other accounts", code="not_yours", field="account")
    account = post.account or asker.account or context.services.identity.operator
    at_ms = now_ms()
    key, token = await context.pool.run(
        context.services.api_keys.create, _grant(post, account, at_ms), now_ms=at_ms
    )
    response.headers["Location"] = routes.API_KEY.format(key=key.id)
    response.headers["Cache-Control"] = "no-store"
    return ApiKeyMadeBody(**api_key_body(key, now_ms=at_ms).model_dump(), token=token)


@router.get(routes.API_KEYS)
async def list_api_keys(
    context: Ctx,
    asker: Asker,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: str | None = None,
) -> ApiKeysBody:
    """Newest first, revoked ones included; an admin sees every account's."""
    keys = await context.pool.run(
        context.services.api_keys.page, account=_accounts(asker), before=cursor, limit=limit
    )
    bodies = [api_key_body(key, now_ms=now_ms()) for key in keys]
    return ApiKeysBody(api_keys=bodies, next=bodies[-1].id if len(bodies) == limit else None)


@router.get(routes.API_KEY)
async def get_api_key(context: Ctx, asker: Asker, key: str) -> ApiKeyBody:
    """One API key: what it may, what it has spent, when it was last used."""
    row = await context.pool.run(context.services.api_keys.get, key, account=_accounts(asker))
    return api_key_body(row, now_ms=now_ms())


@router.delete(routes.API_KEY)
async def revoke_api_key(context: Ctx, asker: Asker, key: str) -> ApiKeyBody:
    """End an API key for good; a second time changes nothing."""
    row = await context.pool.run(
        context.services.api_keys.revoke, key, account=_accounts(asker), now_ms=now_ms()
    )
    return api_key_body(row, now_ms=now_ms())


def _accounts(asker: Reader) -> str | None:
    """The account whose keys he may handle, None: every account's."""
    if asker.role >= Role.ADMIN:
        return None
    if asker.api_key is not None:
        raise ForbiddenError(
            "an API key handles no API keys",
            code="account_signature_required",
            hint="sign the request with the account's key, as `hivemark api-keys` does",
        )
    if asker.account is None:
        raise _no_account(asker)
    return asker.account


def _no_account(asker: Reader) -> HivemarkError:
    if asker.role is Role.NOBODY:
        return UnauthenticatedError(
            "API keys are handled by their account, or by an admin",
            code="credential_missing",
            hint="sign the request with the account's key, as `hivemark api-keys` does",
        )
    return ForbiddenError("this needs the admin role", code="role_too_low")


def _grant(post: ApiKeyPost, account: str, at_ms: int) -> Grant:
    return Grant(
        account=account,
        name=post.name,
        scopes=tuple(Scope) if post.scopes is None else tuple(post.scopes),
        models=None if post.models is None else tuple(post.models),
        budget_micro=None if post.budget is None else _budget_micro(post.budget),
        requests_per_minute=post.requests_per_minute,
        tokens_per_minute=post.tokens_per_minute,
        expires_ms=None if post.ttl_s is None else at_ms + max(1, int(post.ttl_s * 1000)),
    )


def _budget_micro(text: str) -> int:
    try:
        return parse_credits(text)
    except InvalidError as error:
        raise InvalidError(error.message, code=error.code, field="budget") from error
