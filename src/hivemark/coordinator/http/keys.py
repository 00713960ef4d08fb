"""Routes of trusted keys; all of them are the operator's."""

from fastapi import APIRouter, Request

from hivemark.api import routes
from hivemark.api.http import KeyBody, KeyPost, KeyRevokePost, KeysBody
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.http.bodies import key_body
from hivemark.coordinator.http.context import Asker, Ctx, parse_post
from hivemark.coordinator.service.access import Role
from hivemark.credits.price import parse_credits

router = APIRouter(tags=["keys"])


@router.get(routes.KEYS)
async def list_keys(context: Ctx, asker: Asker) -> KeysBody:
    """Every key that was ever trusted."""
    asker.require_role(Role.VIEWER)
    keys = await context.pool.run(context.services.keys.all)
    return KeysBody(keys=[key_body(key) for key in keys])


@router.post(routes.KEYS, status_code=201)
async def trust(request: Request, context: Ctx, asker: Asker) -> KeyBody:
    """Let jobs signed by this key in."""
    asker.require_role(Role.ADMIN)
    post = await parse_post(request, KeyPost)
    key = await context.pool.run(
        context.services.keys.trust,
        post.public_key,
        key_id=post.key_id,
        grant_micro=None if post.credits is None else parse_credits(post.credits),
        now_ms=now_ms(),
    )
    return key_body(key)


@router.post(routes.KEYS_REVOKE)
async def revoke(request: Request, context: Ctx, asker: Asker) -> KeyBody:
    """Let no more jobs of this key in."""
    asker.require_role(Role.ADMIN)
    post = await parse_post(request, KeyRevokePost)
    key = await context.pool.run(context.services.keys.revoke, post.public_key, now_ms=now_ms())
    return key_body(key)
