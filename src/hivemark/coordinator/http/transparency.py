"""Routes of the log: C2SP tlog-tiles files, proofs as JSON, the policy (docs/spec/http.md 7)."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response

from hivemark.api import routes
from hivemark.api.http import ConsistencyBody, ProofBody, RootBody
from hivemark.coordinator.http.context import Ctx
from hivemark.coordinator.service.assembly import Services
from hivemark.protocol.base64strict import encode_base64
from hivemark.translog.checkpoint import parse_checkpoint
from hivemark.translog.merkle import leaf_hash
from hivemark.translog.note import parse_note

_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_SHORT: Final = {"Cache-Control": "no-cache"}

router = APIRouter(tags=["transparency"])


@router.get(routes.LOG_ROOT)
async def get_root(context: Ctx) -> RootBody:
    """The newest checkpoint."""
    root = await context.pool.run(context.services.transparency.root)
    return RootBody(
        origin=root.checkpoint.origin,
        size=root.checkpoint.size,
        root_sha256=root.checkpoint.root.hex(),
        checkpoint=root.raw.decode(),
    )


@router.get(routes.LOG_PROOF)
async def get_proof(context: Ctx, index: Annotated[int, Query(ge=0, le=2**53 - 1)]) -> ProofBody:
    """That the entry at `index` is in the tree of the newest checkpoint."""
    return await context.pool.run(_proof, context.services, index)


@router.get(routes.LOG_CONSISTENCY)
async def get_consistency(
    context: Ctx,
    first: Annotated[int, Query(alias="from", ge=1, le=2**53 - 1)],
    second: Annotated[int, Query(alias="to", ge=1, le=2**53 - 1)],
) -> ConsistencyBody:
    """That the tree of `from` entries is a prefix of that of `to`."""
    hashes = await context.pool.run(context.services.transparency.consistency, first, second)
    return ConsistencyBody(first=first, second=second, hashes=[encode_base64(item) for item in hashes])


@router.get(routes.CHECKPOINT, response_class=PlainTextResponse)
async def get_checkpoint(context: Ctx) -> Response:
    """The signed note, as tlog-tiles serves it."""
    raw = await context.pool.run(context.services.transparency.checkpoint)
    return Response(raw, media_type="text/plain; charset=utf-8", headers=_SHORT)


@router.get(routes.TILE, response_class=Response)
async def get_tile(context: Ctx, path: str) -> Response:
    """A tile or an entry bundle."""
    raw = await context.pool.run(context.services.transparency.tile, f"tile/{path}")
    return Response(raw, media_type="application/octet-stream", headers=_FOREVER)


@router.get(routes.POLICY, response_class=PlainTextResponse)
async def get_policy(context: Ctx) -> PlainTextResponse:
    """What a verifier of this network may pin; compare its fingerprint over another channel."""
    return PlainTextResponse(context.services.identity.policy)


def _proof(services: Services, index: int) -> ProofBody:
    proof = services.transparency.inclusion(index)
    checkpoint = parse_checkpoint(parse_note(proof.checkpoint).text)
    leaf = leaf_hash(services.transparency.entry(index))
    return ProofBody(
        index=index,
        size=checkpoint.size,
        leaf_sha256=leaf.hex(),
        hashes=[encode_base64(item) for item in proof.hashes],
        checkpoint=proof.checkpoint.decode(),
    )
