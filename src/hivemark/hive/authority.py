"""The certificate authority that a join link names: fetched, compared, pinned (docs/spec/link 1.5)."""

import ssl
from pathlib import Path
from typing import Final

import aiohttp

from hivemark.api.certificates import (
    AUTHORITY_NAME,
    AUTHORITY_PATH,
    certificate_refused,
    pinned_context,
    unverified_context,
)
from hivemark.api.joinlink import JoinLink
from hivemark.errors import UnavailableError, UnverifiedError

PEM_BYTES_MAX: Final = 65_536
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=10)


def context_of(home: Path) -> ssl.SSLContext | None:
    """What this hive's connections trust; None: what the system trusts."""
    path = home / AUTHORITY_NAME
    return pinned_context(path) if path.exists() else None


async def fetch_authority(link: JoinLink) -> bytes:
    """The PEM of exactly the authority whose fingerprint the link names.

    It is fetched from whoever answers, and nothing is told to him before it was compared. Raises
    `UnverifiedError` code `authority_mismatch`, `UnavailableError` code `coordinator_unreachable`.
    """
    url = f"{link.base_url}{AUTHORITY_PATH}"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as http,
            http.get(url, ssl=unverified_context(), allow_redirects=False) as response,
        ):
            raw = await response.content.read(PEM_BYTES_MAX)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"the coordinator does not answer by TLS at {link.host}:{link.port}: {type(error).__name__}",
            code="coordinator_unreachable",
            hint="is it running there with --listen, and does a firewall let this port in?",
        ) from error
    return named_authority(link, raw)


def named_authority(link: JoinLink, answer: bytes) -> bytes:
    """The PEM of the link's authority, made from the bytes that were compared and from nothing else.

    The answer itself is a stranger's: whatever stands behind the first certificate would be trusted too if
    the text were kept as it came.
    """
    try:
        der = ssl.PEM_cert_to_DER_cert(answer.decode("ascii"))
    except ValueError as error:
        raise UnverifiedError(
            "whoever answers there shows no certificate authority",
            code="authority_mismatch",
            hint="is the address in the link right? the token was not sent",
        ) from error
    link.require_authority(der)
    return ssl.DER_cert_to_PEM_cert(der).encode("ascii")


def refusal_of(error: BaseException) -> UnverifiedError | None:
    """The certificate's fault behind a failed connection, if that was it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        if isinstance(inner, ssl.SSLCertVerificationError):
            return certificate_refused(inner)
    return None
