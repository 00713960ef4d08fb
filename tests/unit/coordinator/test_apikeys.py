"""API keys: recognised by digest, cached for less than a second, revoked at once here."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hivemark.coordinator.ports import ApiKey
from hivemark.coordinator.service import apikeys
from hivemark.coordinator.service.apikeys import (
    ApiKeys,
    Grant,
    Scope,
    may_use,
    require_model,
)
from hivemark.coordinator.store.database import DatabaseUnavailable
from hivemark.errors import ForbiddenError, HivemarkError, UnauthenticatedError
from hivemark.protocol.keys import PrivateKey

from .conftest import World


class Topics(list[str]):
    def notify(self, topic: str) -> None:
        self.append(topic)


class CountingStore:
    """The real store, with its reads counted and something done in the middle of one."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.reads = 0
        self.touches = 0
        self.after_read: Callable[[], object] = lambda: None
        self.full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def api_key(self, key_id: str) -> ApiKey | None:
        return self._read(self._store.api_key(key_id))

    def api_key_of_token(self, token_sha256: str) -> ApiKey | None:
        return self._read(self._store.api_key_of_token(token_sha256))

    def touch_api_key(self, key_id: str, *, now_ms: int) -> None:
        self.touches += 1
        if self.full:
            raise DatabaseUnavailable("database or disk is full", code="storage_full")
        self._store.touch_api_key(key_id, now_ms=now_ms)

    def _read(self, key: ApiKey | None) -> ApiKey | None:
        self.reads += 1
        self.after_read()
        return key


@pytest.fixture
def store(world: World) -> CountingStore:
    return CountingStore(world.store)


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def keys(store: CountingStore, topics: Topics) -> ApiKeys:
    return replica(store, topics)


def replica(store: CountingStore, topics: Topics) -> ApiKeys:
    numbers = iter(range(1, 200))
    return ApiKeys(store=store, random=lambda count: bytes([next(numbers)]) * count, hints=topics)


def made(keys: ApiKeys, world: World, **changes: Any) -> tuple[ApiKey, str]:
    grant = replace(Grant(account=world.services.identity.operator, name="k"), **changes)
    return keys.create(grant, now_ms=world.now_ms)


def refusal(call: Callable[[], object], kind: type[HivemarkError] = UnauthenticatedError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def authorize(keys: ApiKeys, token: str, at_ms: int, scope: Scope = Scope.INFERENCE) -> ApiKey:
    return keys.authorize(token, scope=scope, now_ms=at_ms)


def test_a_token_is_not_kept(keys: ApiKeys, world: World) -> None:
    key, token = made(keys, world)
    assert len(token) == 46 and token.startswith(key.token_start) and len(key.token_start) == 9
    assert token not in repr(vars(keys)) + repr(key) + repr(world.store.api_key(key.id))


def test_a_known_token_is_not_read_again_within_the_second(
    keys: ApiKeys, world: World, store: CountingStore
) -> None:
    _, token = made(keys, world)
    now = world.now_ms
    assert keys.recall(token, scope=Scope.READ, now_ms=now) is None
    for at_ms in (now, now + 1, now + 999):
        authorize(keys, token, at_ms)
        assert keys.recall(token, scope=Scope.READ, now_ms=at_ms) is not None
    assert store.reads == 1
    assert keys.recall(token, scope=Scope.READ, now_ms=now + 1_000) is None
    authorize(keys, token, now + 1_000)
    assert store.reads == 2
    authorize(keys, token, now)  # the clock was set back: what was read then is not older than nothing
    assert store.reads == 3


def test_garbage_is_refused_without_a_read(keys: ApiKeys, world: World, store: CountingStore) -> None:
    for token in ("", "hm_", "hm_" + "A" * 42, "hm_" + "A" * 44, "sk_" + "A" * 43, "hm_" + "é" * 43):
        assert refusal(lambda token=token: authorize(keys, token, 1)) == "invalid_api_key"
    assert store.reads == 0
    assert refusal(lambda: authorize(keys, "hm_" + "A" * 43, 1)) == "invalid_api_key"
    assert store.reads == 1


def test_a_revocation_is_seen_here_at_once_and_elsewhere_within_the_second(
    keys: ApiKeys, world: World, store: CountingStore, topics: Topics
) -> None:
    elsewhere = replica(store, Topics())
    key, token = made(keys, world)
    now = world.now_ms
    for one in (keys, elsewhere):
        authorize(one, token, now)
        assert one.standing(key.id, now_ms=now).id == key.id
    keys.revoke(key.id, account=None, now_ms=now)
    assert topics == [f"key:{key.id}"]
    assert refusal(lambda: authorize(keys, token, now)) == "api_key_revoked"
    assert refusal(lambda: keys.standing(key.id, now_ms=now)) == "api_key_revoked"
    assert refusal(lambda: keys.recall(token, scope=Scope.READ, now_ms=now)) == "api_key_revoked"
    assert authorize(elsewhere, token, now + 999).id == key.id
    assert refusal(lambda: authorize(elsewhere, token, now + 1_000)) == "api_key_revoked"


def test_a_read_that_a_revocation_overtook_is_not_kept(
    keys: ApiKeys, world: World, store: CountingStore
) -> None:
    key, token = made(keys, world)
    now = world.now_ms

    def revoke_meanwhile() -> None:
        store.after_read = lambda: None
        keys.revoke(key.id, account=None, now_ms=now)

    store.after_read = revoke_meanwhile
    authorize(keys, token, now)  # it was read before the revocation
    assert refusal(lambda: authorize(keys, token, now)) == "api_key_revoked"


def test_a_key_expires_also_while_it_is_cached(keys: ApiKeys, world: World) -> None:
    now = world.now_ms
    key, token = made(keys, world, expires_ms=now + 10)
    authorize(keys, token, now + 9)
    assert refusal(lambda: authorize(keys, token, now + 10)) == "api_key_expired"
    assert refusal(lambda: keys.standing(key.id, now_ms=now + 10)) == "api_key_expired"


def test_a_key_ends_with_the_trust_in_its_account(keys: ApiKeys, world: World) -> None:
    friend = PrivateKey.from_seed(b"\5" * 32).public.base64
    account = world.services.keys.trust(friend, key_id="f", grant_micro=0, now_ms=world.now_ms).account
    _, token = made(keys, world, account=account)
    world.services.keys.revoke(friend, now_ms=world.now_ms)
    assert refusal(lambda: authorize(keys, token, world.now_ms)) == "api_key_revoked"


def test_a_scope_that_is_missing_is_named(keys: ApiKeys, world: World) -> None:
    _, token = made(keys, world, scopes=("read",))
    authorize(keys, token, world.now_ms, Scope.READ)
    with pytest.raises(ForbiddenError) as caught:
        authorize(keys, token, world.now_ms)
    assert caught.value.code == "scope_missing" and "inference" in caught.value.message
    assert refusal(
        lambda: keys.recall(token, scope=Scope.INFERENCE, now_ms=world.now_ms), ForbiddenError
    ) == ("scope_missing")


def test_models_are_all_or_the_ones_named(keys: ApiKeys, world: World) -> None:
    key, _ = made(keys, world)
    require_model(key, "any")
    narrow, _ = made(keys, world, models=("a", "b", "a"))
    assert narrow.models == ("a", "b") and may_use(narrow, "b") and not may_use(narrow, "c")
    assert refusal(lambda: require_model(narrow, "c"), ForbiddenError) == "model_not_allowed"


def test_the_last_use_is_noted_once_a_minute(keys: ApiKeys, world: World, store: CountingStore) -> None:
    key, token = made(keys, world)
    now = world.now_ms
    for at_ms in range(now, now + 60_000, 1_500):
        authorize(keys, token, at_ms)
    assert store.touches == 1
    authorize(keys, token, now + 61_000)
    assert store.touches == 2
    assert keys.get(key.id, account=None).last_used_ms == now + 61_000


def test_a_full_disk_keeps_nobody_from_reading(keys: ApiKeys, world: World, store: CountingStore) -> None:
    _, token = made(keys, world)
    store.full = True
    assert authorize(keys, token, world.now_ms).last_used_ms is None


def test_the_memory_of_keys_is_bounded(
    keys: ApiKeys, world: World, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apikeys, "_KEPT_MAX", 2)
    tokens = [made(keys, world)[1] for _ in range(4)]
    for token in tokens:
        authorize(keys, token, world.now_ms)
    assert len(keys._seen) == len(keys._ids) == 2
    assert authorize(keys, tokens[0], world.now_ms) is not None
    assert store.reads == 5
