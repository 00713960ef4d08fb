"""Who is asking, and what he may see (docs/spec/http.md 3).

A token carries a role, an account signature an account; the operator's account has both.
"""

import hashlib
import hmac
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from hivemark.api.headers import SignedRequest
from hivemark.coordinator.ports import ApiKey, JobHead, KeyStore
from hivemark.errors import ForbiddenError, NotFoundError, OverLimitError, UnauthenticatedError

_NONCES_MAX: Final = 100_000


class Role(IntEnum):
    """Each role may what the ones before it may."""

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Reader:
    """The one who asks. Roles see metadata; text belongs to the job's account alone.

    An API key reads for its account and has no role, also where its account is the operator's.
    """

    account: str | None = None
    role: Role = Role.NOBODY
    api_key: ApiKey | None = None

    def may_see(self, job: JobHead) -> bool:
        """Whether he may know that this job exists."""
        return self.role >= Role.VIEWER or self.may_read_text(job)

    def may_read_text(self, job: JobHead) -> bool:
        """Whether he may read questions and answers."""
        return job.visibility == "public" or (self.account is not None and self.account == job.account)

    def require_role(self, role: Role) -> None:
        """Raises `UnauthenticatedError` for strangers, `ForbiddenError` for those known."""
        if self.role >= role:
            return
        if self.account is None and self.role is Role.NOBODY:
            raise UnauthenticatedError(
                f"this needs the {role.name.lower()} role",
                code="credential_missing",
                hint="send `Authorization: Bearer <token>`, or sign the request with the operator's key",
            )
        raise ForbiddenError(f"this needs the {role.name.lower()} role", code="role_too_low")


ANYONE: Final = Reader()


def require_visible(job: JobHead | None, reader: Reader) -> JobHead:
    """The job if `reader` may see it; a private job and no job at all answer strangers alike."""
    if job is None or not reader.may_see(job):
        raise NotFoundError(
            "there is no such job, or it is private",
            code="unknown_job",
            hint="private jobs show themselves to requests signed by their account key",
        )
    return job


def token_sha256(token: str) -> str:
    """The form in which a token is kept and compared."""
    return hashlib.sha256(token.encode()).hexdigest()


class Credentials:
    """Turns credentials into readers; keeps tokens as digests only."""

    def __init__(
        self, *, store: KeyStore, operator: str, tokens_sha256: Iterable[tuple[Role, str]] = ()
    ) -> None:
        self._store = store
        self._operator = operator
        self._tokens = tuple(tokens_sha256)
        self._nonces: dict[tuple[bytes, str], int] = {}
        self._lock = threading.Lock()

    def by_token(self, token: str) -> Reader:
        """The reader with the token's role; raises `UnauthenticatedError` `token_invalid`."""
        role = self.role_of(token)
        if role is Role.NOBODY:
            raise UnauthenticatedError("this token is not known here", code="token_invalid")
        return Reader(role=role)

    def role_of(self, token: str) -> Role:
        """The highest role of a token; every known token is compared, in constant time."""
        digest = token_sha256(token).encode()
        roles = [role for role, known in self._tokens if hmac.compare_digest(digest, known.encode())]
        return max(roles, default=Role.NOBODY)

    def by_signature(self, request: SignedRequest, *, now_ms: int) -> Reader:
        """The reader with the account of a trusted key; a nonce serves once within its window."""
        key = self._store.trusted_key(request.public_key.base64)
        if key is None or key.status != "active":
            raise ForbiddenError(
                "this key is not trusted here",
                code="key_not_trusted",
                hint=f"the operator can run `hivemark keys trust {request.public_key.base64}`",
            )
        self._spend_nonce(request, now_ms)
        role = Role.ADMIN if key.account == self._operator else Role.NOBODY
        return Reader(account=key.account, role=role)

    def _spend_nonce(self, request: SignedRequest, now_ms: int) -> None:
        name = (request.public_key.raw, request.nonce)
        with self._lock:
            if self._nonces.get(name, 0) >= now_ms:
                raise UnauthenticatedError("this signed request was sent before", code="nonce_repeated")
            if len(self._nonces) >= _NONCES_MAX:
                self._nonces = {known: until for known, until in self._nonces.items() if until >= now_ms}
            if len(self._nonces) >= _NONCES_MAX:
                raise OverLimitError("too many signed requests in one minute", code="nonces_full")
            self._nonces[name] = request.until_ms
