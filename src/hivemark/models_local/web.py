"""GET with the manners of a download: redirects with limits, a token for one host only, errors with names."""

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from yarl import URL

from hivemark.errors import (
    BadUpstreamError,
    ForbiddenError,
    HivemarkError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from hivemark.models_local.source import require_transport

REDIRECTS_MAX: Final = 8
CONNECT_TIMEOUT_S: Final = 15.0
RETRY_AFTER_MAX_S: Final = 120.0
REASON_CHARS_MAX: Final = 200
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
USER_AGENT: Final = "hivemark"


class Interrupted(UnavailableError):
    """The transfer broke off, and may be tried again."""

    def __init__(self, message: str, *, code: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Hub:
    """Where `hf:` points to. The token is sent to this origin and to no other; it never shows in `repr`."""

    url: URL
    token: str | None = field(default=None, repr=False)


class Web:
    """Connections of one download. `stall_s` without a byte is an interruption."""

    def __init__(self, http: aiohttp.ClientSession, *, hub: Hub, stall_s: float) -> None:
        self.hub = hub
        self.stall_s = stall_s
        self._http = http

    @asynccontextmanager
    async def get(
        self, url: URL, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer with status 200, 206 or 416, its body unread; everything else raises.

        `Interrupted` may be tried again (also from reading the body), any other error may not.
        """
        try:
            for _ in range(REDIRECTS_MAX + 1):
                async with self._http.get(
                    url, headers=self._headers(url, headers or {}), allow_redirects=False
                ) as got:
                    if got.status in REDIRECTS:
                        url = _next(url, got)
                        continue
                    if got.status not in (200, 206, 416):
                        raise self._refusal(url, got)
                    _require_plain(got)
                    yield got
                    return
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise self._named(url, error) from error
        raise BadUpstreamError(f"more than {REDIRECTS_MAX} redirects", code="too_many_redirects")

    def _headers(self, url: URL, headers: Mapping[str, str]) -> dict[str, str]:
        sent = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **headers}
        if self.hub.token is not None and url.origin() == self.hub.url.origin():
            sent["Authorization"] = f"Bearer {self.hub.token}"
        return sent

    def _refusal(self, url: URL, got: aiohttp.ClientResponse) -> HivemarkError:
        place, status = f"{url.host}{url.path}", got.status
        if status in TRANSIENT:
            code = "source_busy" if status == 429 else "source_unavailable"
            return Interrupted(
                f"{url.host} answered {status}", code=code, retry_after_s=_retry_after_s(got.headers)
            )
        if status in (401, 403):
            return self._not_admitted(url, status, got.headers)
        if status in (404, 410):
            return NotFoundError(
                f"there is nothing at {place} ({status})",
                code="source_not_found",
                hint="check the spelling; hivemark models pull hf:org/repo lists a repository's files",
            )
        return BadUpstreamError(f"{url.host} answered {status} for {url.path}", code="source_refused")

    def _not_admitted(self, url: URL, status: int, headers: Mapping[str, str]) -> HivemarkError:
        reason = headers.get("X-Error-Message", "")[:REASON_CHARS_MAX]
        message = f"{url.host} does not give {url.path} to this account ({status})" + (
            f": {reason}" if reason else ""
        )
        at_hub = url.origin() == self.hub.url.origin()
        if not at_hub:
            hint = "the address needs a login, or has run out: get a new one"
        elif self.hub.token is None:
            hint = (
                "check the spelling; is it private, or has it terms? accept them at the hub and set HF_TOKEN"
            )
        else:
            hint = "accept the terms on its page at the hub, with the account that HF_TOKEN belongs to"
        kind = UnauthenticatedError if status == 401 else ForbiddenError
        return kind(message, code="source_not_admitted", hint=hint)

    def _named(self, url: URL, error: Exception) -> HivemarkError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            return ForbiddenError(
                f"{url.host} does not prove who it is: {error}"[:REASON_CHARS_MAX],
                code="certificate_invalid",
                hint="is something between you and it? SSL_CERT_FILE names the authorities to trust",
            )
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return Interrupted(f"{url.host} took no connection", code="source_unreachable")
        if isinstance(error, TimeoutError):
            return Interrupted(f"no byte from {url.host} for {self.stall_s:g} s", code="download_stalled")
        if isinstance(error, aiohttp.InvalidURL):
            return BadUpstreamError(f"{error} is no address", code="redirect_invalid")
        if isinstance(error, aiohttp.ClientConnectorError):
            return Interrupted(f"{url.host} cannot be reached: {error.os_error}", code="source_unreachable")
        return Interrupted(f"the connection to {url.host} broke", code="download_interrupted")


@asynccontextmanager
async def open_web(*, hub: Hub, stall_s: float) -> AsyncIterator[Web]:
    """For the time of one download."""
    timeout = aiohttp.ClientTimeout(
        total=None, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=stall_s
    )
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, read_bufsize=1_048_576
    ) as http:
        yield Web(http, hub=hub, stall_s=stall_s)


def _next(url: URL, got: aiohttp.ClientResponse) -> URL:
    """Where a redirect points to; from https never to http."""
    location = got.headers.get("Location", "")
    try:
        target = url.join(URL(location, encoded=True)) if location else None
    except ValueError:
        target = None
    if target is None or target.scheme not in ("http", "https") or not target.host:
        raise BadUpstreamError(f"{url.host} redirects to no address", code="redirect_invalid")
    if url.scheme == "https" and target.scheme != "https":
        raise ForbiddenError(
            f"{url.host} redirects from https to http, where the file could be changed on the way",
            code="redirect_insecure",
        )
    require_transport(target)
    return target


def _require_plain(got: aiohttp.ClientResponse) -> None:
    encoding = got.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise BadUpstreamError(
            f"the server sends the file in another form ({encoding[:20]}) although none was asked for",
            code="encoding_unasked",
        )


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds or a date; nothing when it says neither, and never more than two minutes."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_MAX_S)
    try:
        at = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, at - time.time()), RETRY_AFTER_MAX_S)
