"""Posting a result and reading the answer: the shell around `HiveCore.result_…` (docs/spec/link 5)."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from hivemark.api.headers import AUTHORIZATION, EPOCH, HIVE
from hivemark.api.joinlink import require_private_transport
from hivemark.api.link import ResultAnswer
from hivemark.errors import HivemarkError
from hivemark.hive.effects import PostResult

TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=10)
ANSWER_BYTES_MAX: Final = 65_536
RETRY_AFTER_MAX_S: Final = 120.0
_FINAL: Final = frozenset({400, 403, 404, 409, 410, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class Refused:
    """The coordinator will never take it."""

    code: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The session token is of an older epoch."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """No answer, or not now."""

    reason: str
    retry_after_s: float | None = None


PostOutcome = ResultAnswer | Refused | Stale | PutOff


class ResultPoster:
    """One outbound POST for each attempt."""

    def __init__(self, http: aiohttp.ClientSession, *, base_url: str, hive: str) -> None:
        self._http = http
        self._base_url = base_url
        self._hive = hive

    async def post(self, order: PostResult, body: bytes) -> PostOutcome:
        """What became of it; network trouble is an outcome, not an exception."""
        headers = self.credentials(order.session_token, order.epoch)
        headers["Content-Type"] = "application/x-ndjson"
        try:
            url = self.url(order.url)
        except HivemarkError as error:
            return Refused(error.code)
        try:
            async with self._http.post(
                url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                raw = await response.content.read(ANSWER_BYTES_MAX)
                return read_answer(response.status, raw, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return PutOff(type(error).__name__)

    def credentials(self, token: str, epoch: int) -> dict[str, str]:
        """The headers that authorise a post under this epoch's session."""
        return {AUTHORIZATION: f"Bearer {token}", HIVE: self._hive, EPOCH: str(epoch)}

    def url(self, named: str) -> str:
        """The URL of the lease, or its path at the coordinator; the token never travels in the clear."""
        url = urljoin(self._base_url + "/", named)
        parts = urlsplit(url)
        require_private_transport(parts.hostname or "", tls=parts.scheme == "https")
        return url


class _Problem(msgspec.Struct):
    code: str = "unknown"


def read_answer(status: int, raw: bytes, retry_after: str | None) -> PostOutcome:
    """The meaning of an answer (5.4-5.7); pure."""
    if status == 200:
        try:
            return msgspec.json.decode(raw, type=ResultAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return PutOff(f"the answer is malformed: {error}")
    if status == 401:
        return Stale()
    if status in _FINAL:
        return Refused(_code(raw) or f"status_{status}")
    return PutOff(_code(raw) or f"status_{status}", _seconds(retry_after))


def _code(raw: bytes) -> str | None:
    try:
        return msgspec.json.decode(raw, type=_Problem).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return None
    return min(float(retry_after), RETRY_AFTER_MAX_S)
