"""What the shells share: the services, the pool, wake-ups, and bodies read within their limit."""

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from hivemark.coordinator.pool import Pool
from hivemark.coordinator.service.assembly import Services
from hivemark.coordinator.wakeups import Wakeups
from hivemark.errors import TooLargeError
from hivemark.protocol.strictjson import BYTES_MAX

_DRAIN_FACTOR: Final = 4


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """Where others reach this coordinator by TLS, and the authority that they pin."""

    host: str
    port: int
    authority_sha256: bytes
    authority_pem: bytes


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all routes of one application; `stopping` is set when the process is to end."""

    services: Services
    pool: Pool
    wakeups: Wakeups
    stopping: asyncio.Event
    tls: bool
    public: PublicAddress | None = None


async def read_body(request: Request, *, bytes_max: int = BYTES_MAX) -> bytes:
    """The body, refused while it is read once it is longer than the limit."""
    known = getattr(request.state, "body", None)
    if known is not None:
        assert isinstance(known, bytes)
        return known
    body = bytearray()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received <= bytes_max:
            body += chunk
        elif received > _DRAIN_FACTOR * bytes_max:
            break  # a little more is read so that the client can finish sending and see the answer
    if received > bytes_max:
        raise TooLargeError(f"the body has more than {bytes_max} bytes", code="too_large")
    request.state.body = bytes(body)
    return bytes(body)
