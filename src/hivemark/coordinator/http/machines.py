"""Routes of hives: who is there, join links, enrolment, draining, revocation."""

import hashlib
import re
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from hivemark.api import routes
from hivemark.api.certificates import AUTHORITY_PATH
from hivemark.api.http import DrainPost, HiveBody, HivesBody, JoinLinkBody, JoinLinkPost
from hivemark.api.joinlink import JoinLink, encode_join_link
from hivemark.api.link import ENROL_PATH, Enrol
from hivemark.coordinator.clock import now_ms
from hivemark.coordinator.context import read_body
from hivemark.coordinator.http.bodies import hive_body
from hivemark.coordinator.http.context import Asker, Ctx, parse_post
from hivemark.coordinator.service.access import Role
from hivemark.coordinator.service.assembly import Services
from hivemark.errors import InvalidError, NotFoundError
from hivemark.protocol.shape import to_shape
from hivemark.protocol.strictjson import parse_json
from hivemark.protocol.times import format_ms

router = APIRouter(tags=["hives"])
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")


@router.get(routes.HIVES)
async def list_hives(context: Ctx) -> HivesBody:
    """Every hive that joined."""
    return await context.pool.run(_read_hives, context.services)


@router.post(routes.JOIN_LINKS, status_code=201)
async def make_join_link(request: Request, context: Ctx, asker: Asker) -> JoinLinkBody:
    """A link by which one hive may join, once; it names the address this request came to."""
    asker.require_role(Role.ADMIN)
    post = await parse_post(request, JoinLinkPost)
    identity = context.services.identity
    token, until_ms = await context.pool.run(
        context.services.hives.make_join_token,
        owner=asker.account or identity.operator,
        ttl_s=post.ttl_s,
        now_ms=now_ms(),
    )
    public = None if post.local else context.public
    host, port = _address(request, tls=context.tls) if public is None else (public.host, public.port)
    link = JoinLink(
        host=post.host or host,
        port=port,
        token=token,
        service_key_sha256=hashlib.sha256(identity.service_key.public.raw).digest(),
        network=identity.network,
        tls=context.tls or public is not None,
        authority_sha256=None if public is None else public.authority_sha256,
    )
    return JoinLinkBody(link=encode_join_link(link), expires_at=format_ms(until_ms))


@router.get(AUTHORITY_PATH, response_class=PlainTextResponse)
async def authority(context: Ctx) -> PlainTextResponse:
    """The certificate authority of this coordinator; whoever joins compares its fingerprint."""
    if context.public is None:
        raise NotFoundError("this coordinator has no authority of its own", code="no_authority")
    return PlainTextResponse(context.public.authority_pem, media_type="application/x-pem-file")


@router.post(ENROL_PATH, response_class=Response)
async def enrol(request: Request, context: Ctx) -> Response:
    """A hive joins: the token of its link and its own signature are the credentials."""
    message = to_shape(parse_json(await read_body(request)), Enrol)
    address = request.client.host if request.client else None
    answer = await context.pool.run(context.services.hives.enrol, message, address=address, now_ms=now_ms())
    return Response(msgspec.json.encode(answer), media_type="application/json")


@router.get(routes.HIVE)
async def get_hive(context: Ctx, hive: str) -> HiveBody:
    """One hive."""
    return await context.pool.run(_read_hive, context.services, hive)


@router.post(routes.HIVE_REVOKE)
async def revoke(context: Ctx, asker: Asker, hive: str) -> HiveBody:
    """Shut a hive out; its link is closed and the log says so."""
    asker.require_role(Role.ADMIN)
    row = await context.pool.run(context.services.hives.revoke, hive, now_ms=now_ms())
    return await context.pool.run(_read_hive, context.services, row.id)


@router.post(routes.HIVE_DRAIN)
async def drain(request: Request, context: Ctx, asker: Asker, hive: str) -> HiveBody:
    """Give a hive no more leases (`on`), or leases again."""
    asker.require_role(Role.OPERATOR)
    post = await parse_post(request, DrainPost)
    await context.pool.run(context.services.hives.set_draining, hive, post.on)
    return await context.pool.run(_read_hive, context.services, hive)


def _read_hives(services: Services) -> HivesBody:
    rows = services.hives.all()
    return HivesBody(hives=[hive_body(row, running=services.hives.running(row.id)) for row in rows])


def _read_hive(services: Services, hive: str) -> HiveBody:
    row = services.hives.get(hive)
    return hive_body(row, running=services.hives.running(row.id))


def _address(request: Request, *, tls: bool) -> tuple[str, int]:
    host, port = request.url.hostname, request.url.port
    if not host or _HOST.fullmatch(host) is None:
        raise InvalidError("the request names no usable host", code="parameter_invalid", field="Host")
    return host, port or (443 if tls else 80)
