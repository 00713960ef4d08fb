"""Roles see metadata, accounts their own text, strangers what is public; a signed request counts once."""

from types import SimpleNamespace
from typing import Any

import pytest

from hivemark.api.headers import SignedRequest
from hivemark.coordinator.service import access
from hivemark.coordinator.service.access import (
    ANYONE,
    Credentials,
    Reader,
    Role,
    require_visible,
    token_sha256,
)
from hivemark.errors import ForbiddenError, NotFoundError, OverLimitError, UnauthenticatedError
from hivemark.protocol.keys import PrivateKey

from .conftest import World

PUBLIC: Any = SimpleNamespace(visibility="public", account="acct_a")
PRIVATE: Any = SimpleNamespace(visibility="private", account="acct_a")
OWNER, OTHER = Reader(account="acct_a"), Reader(account="acct_b")
VIEWER, ADMIN = Reader(role=Role.VIEWER), Reader(role=Role.ADMIN)


@pytest.mark.parametrize(
    ("reader", "sees_private", "reads_private"),
    [
        (ANYONE, False, False),
        (OTHER, False, False),
        (OWNER, True, True),
        (VIEWER, True, False),
        (ADMIN, True, False),
        (Reader(account="acct_a", role=Role.ADMIN), True, True),
    ],
)
def test_who_sees_and_who_reads(reader: Reader, sees_private: bool, reads_private: bool) -> None:
    assert (reader.may_see(PRIVATE), reader.may_read_text(PRIVATE)) == (sees_private, reads_private)
    assert reader.may_see(PUBLIC)
    assert reader.may_read_text(PUBLIC)


def test_a_private_job_and_none_answer_strangers_alike() -> None:
    said = []
    for job in (None, PRIVATE):
        with pytest.raises(NotFoundError) as caught:
            require_visible(job, OTHER)
        said.append((caught.value.code, caught.value.message, caught.value.hint))
    assert said[0] == said[1]
    assert require_visible(PRIVATE, OWNER) is PRIVATE


def test_each_role_includes_those_before_it() -> None:
    for has in Role:
        for needs in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
            reader = Reader(role=has)
            if has >= needs:
                reader.require_role(needs)
            else:
                with pytest.raises(UnauthenticatedError if has is Role.NOBODY else ForbiddenError):
                    reader.require_role(needs)
    with pytest.raises(ForbiddenError):
        OWNER.require_role(Role.VIEWER)


def test_a_token_gives_the_highest_role_it_was_given(world: World) -> None:
    tokens = [(Role.VIEWER, token_sha256("both")), (Role.ADMIN, token_sha256("both"))]
    credentials = Credentials(store=world.store, operator="acct_x", tokens_sha256=tokens)
    assert credentials.by_token("both").role is Role.ADMIN
    for wrong in ("", "bot", "both ", token_sha256("both")):
        with pytest.raises(UnauthenticatedError):
            credentials.by_token(wrong)


def signed(key: PrivateKey, nonce: str, until_ms: int) -> SignedRequest:
    return SignedRequest(public_key=key.public, nonce=nonce, until_ms=until_ms)


def test_the_operators_signature_is_an_admins_and_counts_once(world: World) -> None:
    credentials = world.services.credentials
    request = signed(world.account_key, "n" * 16, world.now_ms + 60_000)
    reader = credentials.by_signature(request, now_ms=world.now_ms)
    assert (reader.account, reader.role) == (world.services.identity.operator, Role.ADMIN)
    with pytest.raises(UnauthenticatedError) as caught:
        credentials.by_signature(request, now_ms=world.now_ms + 60_000)
    assert caught.value.code == "nonce_repeated"


def test_an_unknown_or_revoked_key_is_nobody(world: World) -> None:
    stranger = PrivateKey.from_seed(b"\3" * 32)
    request = signed(stranger, "n" * 16, world.now_ms)
    with pytest.raises(ForbiddenError) as caught:
        world.services.credentials.by_signature(request, now_ms=world.now_ms)
    assert caught.value.code == "key_not_trusted"
    text = stranger.public.base64
    world.services.keys.trust(text, key_id="x", grant_micro=0, now_ms=world.now_ms)
    assert world.services.credentials.by_signature(request, now_ms=world.now_ms).role is Role.NOBODY
    world.services.keys.revoke(text, now_ms=world.now_ms)
    with pytest.raises(ForbiddenError):
        world.services.credentials.by_signature(signed(stranger, "m" * 16, 0), now_ms=world.now_ms)


def test_the_memory_of_nonces_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_NONCES_MAX", 3)
    credentials, now = world.services.credentials, world.now_ms
    for number in range(3):
        credentials.by_signature(signed(world.account_key, f"nonce-{number}", now + 10), now_ms=now)
    with pytest.raises(OverLimitError):
        credentials.by_signature(signed(world.account_key, "one-more", now + 10), now_ms=now)
    credentials.by_signature(signed(world.account_key, "later", now + 99), now_ms=now + 11)


def test_a_key_is_given_its_credits_once(world: World) -> None:
    text = PrivateKey.from_seed(b"\4" * 32).public.base64
    account = world.services.keys.trust(text, key_id=None, grant_micro=5, now_ms=world.now_ms).account
    world.services.keys.revoke(text, now_ms=world.now_ms)
    again = world.services.keys.trust(text, key_id=None, grant_micro=5, now_ms=world.now_ms)
    assert again.status == "active"
    assert world.services.keys.balance(account) == (5, 0, 0)


def test_a_token_of_a_role_may_look_like_an_api_key(world: World) -> None:
    token = "hm_" + "A" * 43
    credentials = Credentials(
        store=world.store, operator="acct_x", tokens_sha256=[(Role.VIEWER, token_sha256(token))]
    )
    assert credentials.role_of(token) is Role.VIEWER
    assert credentials.role_of("hm_" + "B" * 43) is Role.NOBODY
