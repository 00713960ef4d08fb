"""API keys: tokens that let programs which cannot sign ask in the name of an account.

A token is shown once, when it is made; what is kept is its SHA-256, by which it is looked up: nothing is
compared with a secret, so nothing leaks by how long that takes. What is read of a key serves for less than a
second, so a revocation is seen within a second by every replica, and at once by the one that made it.
"""

import base64
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog

from hivemark.coordinator.ports import ApiKey, ApiKeyStore, KeyStore
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.access import token_sha256
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Random
from hivemark.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from hivemark.protocol.ids import API_KEY, new_id

TOKEN_PREFIX: Final = "hm_"
FRESH_MS: Final = 1_000
LAST_USE_EVERY_MS: Final = 60_000
PER_MINUTE_MAX: Final = 1_000_000_000
_TOKEN_BYTES: Final = 32
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")
_START_CHARS: Final = len(TOKEN_PREFIX) + 6
_NAME_CHARS_MAX: Final = 100
_MODEL_CHARS_MAX: Final = 255
_MODELS_MAX: Final = 100
_KEPT_MAX: Final = 10_000
_log = structlog.get_logger(__name__)


class Scope(StrEnum):
    """What a key may be used for."""

    INFERENCE = "inference"  # the endpoints under /v1
    READ = "read"  # the account's own jobs, executions and receipts under /api/v1


class ApiKeyStores(ApiKeyStore, KeyStore, Protocol):
    """The ports of API keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a new key is to allow; None as a limit: no limit."""

    account: str
    name: str
    scopes: tuple[str, ...] = (Scope.INFERENCE, Scope.READ)
    models: tuple[str, ...] | None = None
    budget_micro: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    key: ApiKey
    read_ms: int

    def is_fresh(self, now_ms: int) -> bool:
        return 0 <= now_ms - self.read_ms < FRESH_MS


class ApiKeys:
    """Making, revoking and recognising API keys; safe to call from several threads."""

    def __init__(self, *, store: ApiKeyStores, random: Random, hints: Hints) -> None:
        self._store = store
        self._random = random
        self._hints = hints
        self._ids: dict[str, str] = {}  # by digest of the token, for good
        self._seen: dict[str, _Seen] = {}  # by id
        self._revocations = 0
        self._lock = threading.Lock()

    def create(self, grant: Grant, *, now_ms: int) -> tuple[ApiKey, str]:
        """A new key and its token, which nobody can ask for again.

        Raises `InvalidError` naming the member at fault, `NotFoundError` `unknown_account`.
        """
        _require_sound(grant, now_ms)
        if not any(k.account == grant.account and k.status == "active" for k in self._store.trusted_keys()):
            raise NotFoundError("no trusted key has this account", code="unknown_account", field="account")
        token = TOKEN_PREFIX + base64.urlsafe_b64encode(self._random(_TOKEN_BYTES)).decode().rstrip("=")
        key = ApiKey(
            id=new_id(API_KEY, now_ms=now_ms, random=self._random),
            account=grant.account,
            name=grant.name,
            token_start=token[:_START_CHARS],
            scopes=tuple(sorted(set(grant.scopes))),
            models=None if grant.models is None else tuple(sorted(set(grant.models))),
            budget_micro=grant.budget_micro,
            spent_micro=0,
            requests_per_minute=grant.requests_per_minute,
            tokens_per_minute=grant.tokens_per_minute,
            created_ms=now_ms,
            expires_ms=grant.expires_ms,
            revoked_ms=None,
            last_used_ms=None,
            account_trusted=True,
        )
        self._store.add_api_key(key, token_sha256=token_sha256(token))
        return key, token

    def get(self, key_id: str, *, account: str | None) -> ApiKey:
        """A key as it stands, of `account` or, with None, of any; raises `NotFoundError`."""
        key = self._store.api_key(key_id)
        if key is None or account not in (None, key.account):
            raise NotFoundError("there is no such API key, or it is not yours", code="unknown_api_key")
        return key

    def page(self, *, account: str | None, before: str | None, limit: int) -> Sequence[ApiKey]:
        """Newest first, of `account` or, with None, of all; revoked ones included."""
        return self._store.api_keys(account=account, before=before, limit=limit)

    def revoke(self, key_id: str, *, account: str | None, now_ms: int) -> ApiKey:
        """End a key for good; jobs already accepted go on. A second time changes nothing."""
        self.get(key_id, account=account)
        self._store.revoke_api_key(key_id, now_ms=now_ms)
        with self._lock:
            self._revocations += 1  # what another thread has read before this is not kept
            self._seen.pop(key_id, None)
        self._hints.notify(hints.of_key(key_id))
        return self.get(key_id, account=account)

    def authorize(self, token: str, *, scope: Scope, now_ms: int) -> ApiKey:
        """The key of a token that may be used for `scope`.

        Raises `UnauthenticatedError` `invalid_api_key`, `api_key_revoked` or `api_key_expired`,
        `ForbiddenError` `scope_missing`.
        """
        if _TOKEN.fullmatch(token) is None:
            raise _invalid()
        digest = token_sha256(token)
        with self._lock:
            key_id = self._ids.get(digest)
        key = self._read_token(digest, now_ms) if key_id is None else self._current(key_id, now_ms)
        if key is None:
            raise _invalid()
        require_standing(key, now_ms=now_ms)
        require_scope(key, scope)
        return key

    def recall(self, token: str, *, scope: Scope, now_ms: int) -> ApiKey | None:
        """`authorize` from what was read within the last second, without the database: for the event loop.
        None: not known without asking, so ask."""
        with self._lock:
            seen = self._seen.get(self._ids.get(token_sha256(token), ""))
        if seen is None or not seen.is_fresh(now_ms):
            return None
        require_standing(seen.key, now_ms=now_ms)
        require_scope(seen.key, scope)
        return seen.key

    def standing(self, key_id: str, *, now_ms: int) -> ApiKey:
        """The key, if it may still be used; raises as `authorize`. For streams, which outlive a revocation:
        ask each second and whenever `hints.of_key` says so."""
        key = self._current(key_id, now_ms)
        if key is None:
            raise _invalid()
        require_standing(key, now_ms=now_ms)
        return key

    def _current(self, key_id: str, now_ms: int) -> ApiKey | None:
        with self._lock:
            seen, revocations = self._seen.get(key_id), self._revocations
        if seen is not None and seen.is_fresh(now_ms):
            return seen.key
        key = self._store.api_key(key_id)
        if key is not None:
            self._note(key, None, revocations, now_ms)
        return key

    def _read_token(self, digest: str, now_ms: int) -> ApiKey | None:
        with self._lock:
            revocations = self._revocations
        key = self._store.api_key_of_token(digest)
        if key is not None:
            self._note(key, digest, revocations, now_ms)
        return key

    def _note(self, key: ApiKey, digest: str | None, revocations: int, now_ms: int) -> None:
        with self._lock:
            for known in (self._ids, self._seen):
                while len(known) >= _KEPT_MAX:
                    known.pop(next(iter(known)))
            if digest is not None:
                self._ids[digest] = key.id
            if revocations == self._revocations:
                self._seen[key.id] = _Seen(key, now_ms)
        if key.revoked_ms is None and now_ms - (key.last_used_ms or 0) >= LAST_USE_EVERY_MS:
            self._touch(key, now_ms)

    def _touch(self, key: ApiKey, now_ms: int) -> None:
        try:
            self._store.touch_api_key(key.id, now_ms=now_ms)
        except UnavailableError as error:
            # A full disk must not keep anybody from reading; whatever has to be written says so itself.
            _log.warning("last_use_not_noted", key=key.id, code=error.code)


def require_standing(key: ApiKey, *, now_ms: int) -> None:
    """Raises `UnauthenticatedError` `api_key_revoked` or `api_key_expired`."""
    if key.revoked_ms is not None:
        raise UnauthenticatedError(
            "this API key was revoked",
            code="api_key_revoked",
            hint="make another with `hivemark api-keys create`",
        )
    if not key.account_trusted:
        raise UnauthenticatedError(
            "no key of this API key's account is trusted any more",
            code="api_key_revoked",
            hint="the operator can trust the account's key again with `hivemark keys trust`",
        )
    if key.expires_ms is not None and key.expires_ms <= now_ms:
        raise UnauthenticatedError(
            "this API key has expired",
            code="api_key_expired",
            hint="make another with `hivemark api-keys create`",
        )


def require_scope(key: ApiKey, scope: Scope) -> None:
    """Raises `ForbiddenError` `scope_missing`."""
    if scope not in key.scopes:
        raise ForbiddenError(
            f"this API key lacks the scope {scope.value}; it has {', '.join(key.scopes)}",
            code="scope_missing",
            hint=f"make one with `hivemark api-keys create --scope {scope.value}`",
        )


def may_use(key: ApiKey, model: str) -> bool:
    """Whether the key may ask this model."""
    return key.models is None or model in key.models


def require_model(key: ApiKey, model: str) -> None:
    """Raises `ForbiddenError` `model_not_allowed`."""
    if not may_use(key, model):
        raise ForbiddenError(
            f"this API key may not use {model!r}; it may use {', '.join(key.models or ())}",
            code="model_not_allowed",
            field="model",
            hint=f"make one with `hivemark api-keys create --model {model}`",
        )


def _invalid() -> UnauthenticatedError:
    return UnauthenticatedError(
        "this API key is not known here",
        code="invalid_api_key",
        hint="make one with `hivemark api-keys create`; `hivemark api-keys env` prints the one of this home",
    )


def _require_sound(grant: Grant, now_ms: int) -> None:
    """Spec/http 8.3: raises `InvalidError` naming the member at fault."""
    _require(
        1 <= len(grant.name) <= _NAME_CHARS_MAX and grant.name.isprintable(),
        "name",
        f"1 to {_NAME_CHARS_MAX} printable characters",
    )
    known = [scope.value for scope in Scope]
    _require(
        bool(grant.scopes) and set(grant.scopes) <= set(known), "scopes", f"one or more of {', '.join(known)}"
    )
    _require(
        grant.models is None
        or (1 <= len(grant.models) <= _MODELS_MAX and all(map(_is_model_name, grant.models))),
        "models",
        f"1 to {_MODELS_MAX} names of models",
    )
    _require(grant.budget_micro is None or grant.budget_micro > 0, "budget", "more than no credits")
    for member in ("requests_per_minute", "tokens_per_minute"):
        limit = getattr(grant, member)
        _require(limit is None or 1 <= limit <= PER_MINUTE_MAX, member, f"1 to {PER_MINUTE_MAX}")
    _require(grant.expires_ms is None or grant.expires_ms > now_ms, "ttl_s", "a time that has not passed")


def _is_model_name(name: str) -> bool:
    return 1 <= len(name) <= _MODEL_CHARS_MAX and name.isprintable()


def _require(holds: bool, field: str, expected: str) -> None:
    if not holds:
        raise InvalidError(f"expected {expected}", code="member_invalid", field=field)
