"""The one place where the client speaks HTTP: signing, limits, time-outs and errors (aiohttp).

A connection that cannot be made is `UnavailableError`, an answer that is too large or malformed
`BadUpstreamError`, a refusal the error that the server named. Nothing is retried here: whether a repeat is
safe is the caller's knowledge.
"""

import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from hivemark.api.certificates import certificate_refused, pinned_context
from hivemark.api.headers import sign_request
from hivemark.client.problems import error_of
from hivemark.client.sse import ServerEvent, SseParser
from hivemark.errors import BadUpstreamError, DeadlineError, InvalidError, UnavailableError
from hivemark.protocol.keys import PrivateKey

ANSWER_BYTES_MAX: Final = 64 * 1_048_576
CONNECT_TIMEOUT_S: Final = 5.0
TOTAL_TIMEOUT_S: Final = 60.0
SILENCE_TIMEOUT_S: Final = 45.0  # three keep-alives of an event stream


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """An answer whose headers are here and whose body comes in portions."""

    headers: Mapping[str, str]
    portions: AsyncIterator[bytes]


class Transport:
    """A session with one coordinator. With an `account_key` every request is signed, with an `admin_token` it
    carries that instead; with neither it is anonymous."""

    def __init__(
        self,
        base_url: str,
        *,
        account_key: PrivateKey | None = None,
        admin_token: str | None = None,
        authority: Path | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.base_url = require_base_url(base_url)
        self._account_key = account_key
        self._admin_token = admin_token
        self._authority = authority
        self._now_ms = now_ms
        self._random = random
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TOTAL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            auto_decompress=True,
            connector=aiohttp.TCPConnector(ssl=self._trust()),
        )
        return self

    def _trust(self) -> "ssl.SSLContext | bool":
        """The pinned authority where there is one, else what the system trusts."""
        if self._authority is None or not self._authority.exists():
            return True
        return pinned_context(self._authority)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None, "left without having been entered"
        await self._session.close()
        self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a 2xx answer; any other answer raises the error that the server named."""
        async with self._open(method, path, query=query, body=body, headers=headers) as response:
            return await _read(response)

    async def stream_lines(self, path: str) -> AsyncIterator[bytes]:
        """The lines of a 2xx NDJSON answer, one at a time; each has the limit of a whole answer."""
        silence = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=TOTAL_TIMEOUT_S)
        async with self._open("GET", path, timeout=silence) as response:
            pending = b""
            async for portion in response.content.iter_any():
                *lines, pending = (pending + portion).split(b"\n")
                if len(pending) > ANSWER_BYTES_MAX:
                    raise BadUpstreamError("a line over the limit", code="answer_too_large")
                for line in lines:
                    if line.strip():
                        yield line
            if pending.strip():
                yield pending

    async def stream_events(self, path: str, *, last_event_id: str = "") -> AsyncIterator[ServerEvent]:
        """The events of one connection, until the server ends it; the caller resumes by `last_event_id`."""
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        silence = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
        async with self._open("GET", path, headers=headers, timeout=silence) as response:
            parser = SseParser()
            async for portion in response.content.iter_any():
                for event in parser.feed(portion):
                    yield event

    @asynccontextmanager
    async def post_open(
        self, path: str, *, body: bytes, headers: Mapping[str, str], silence_s: float
    ) -> AsyncIterator[OpenAnswer]:
        """A 2xx answer while it comes, for as long as no silence in it exceeds `silence_s`.

        Leaving the block before the end closes the connection: that is how whoever answers learns it.
        """
        limits = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=silence_s)
        async with self._open("POST", path, body=body, headers=headers, timeout=limits) as response:
            yield OpenAnswer(response.headers, response.content.iter_any())

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A 2xx answer with its body unread; foreign exceptions end here."""
        assert self._session is not None, "use the transport as an async context manager"
        url = URL(self.base_url + path).update_query(
            {key: str(value) for key, value in (query or {}).items()}
        )
        extra = {} if timeout is None else {"timeout": timeout}
        try:
            async with self._session.request(
                method,
                url,
                data=body or None,
                headers={**(headers or {}), **self._authorization(method, url.raw_path_qs, body)},
                allow_redirects=False,
                **extra,  # type: ignore[arg-type]
            ) as response:
                if not 200 <= response.status < 300:
                    retry_after = response.headers.get("Retry-After")
                    raise error_of(response.status, await _read(response), retry_after=retry_after)
                yield response
        except aiohttp.ClientConnectorCertificateError as error:
            inner = error.certificate_error
            if isinstance(inner, ssl.SSLCertVerificationError):
                raise certificate_refused(inner) from error
            raise UnavailableError(str(error), code="connection_broken") from error
        except aiohttp.ClientConnectorError as error:
            raise UnavailableError(
                f"nothing answers at {self.base_url}",
                code="coordinator_unreachable",
                hint="hivemark up",
            ) from error
        except TimeoutError as error:
            raise DeadlineError(f"{self.base_url} did not answer in time", code="answer_timeout") from error
        except aiohttp.ClientError as error:
            raise UnavailableError(
                f"the connection to {self.base_url} broke: {error}", code="connection_broken"
            ) from error

    def _authorization(self, method: str, target: str, body: bytes) -> dict[str, str]:
        if self._account_key is not None:
            value = sign_request(
                self._account_key,
                method=method,
                target=target,
                body=body,
                now_ms=self._now_ms(),
                random=self._random,
            )
            return {"Authorization": value}
        return {"Authorization": f"Bearer {self._admin_token}"} if self._admin_token else {}


def require_base_url(text: str) -> str:
    """`scheme://host[:port]` without a trailing slash; raises `InvalidError` for anything else."""
    url = URL(text if "://" in text else f"http://{text}")
    if url.scheme not in ("http", "https") or not url.host or url.query_string or url.path not in ("", "/"):
        raise InvalidError(f"not the address of a coordinator: {text!r}", code="url_malformed", field="url")
    return str(url).rstrip("/")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    portions, size = [], 0
    async for portion in response.content.iter_any():
        size += len(portion)
        if size > ANSWER_BYTES_MAX:
            raise BadUpstreamError(
                f"an answer of more than {ANSWER_BYTES_MAX} bytes", code="answer_too_large"
            )
        portions.append(portion)
    return b"".join(portions)
