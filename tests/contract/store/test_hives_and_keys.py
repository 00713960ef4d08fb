"""Machines and keys: tokens serve once, epochs only grow, grants are minted once."""

from dataclasses import replace

import pytest

from hivemark.coordinator.ports import HiveModel, StateMoved, TrustedKey
from hivemark.coordinator.store import SqlStore
from hivemark.errors import ForbiddenError, NotFoundError

from .world import GRANT_MICRO, World


def test_a_token_enrols_one_hive_for_its_owner(store: SqlStore, world: World) -> None:
    hive = store.hive("hive_a")
    assert hive is not None and hive.owner == "acct_owner" and hive.simulated == ("region",)
    store.add_join_token("token", owner="acct_owner", until_ms=100)
    other = replace(hive, id="hive_b", public_key="b")
    assert store.enrol(other, token_sha256="token", now_ms=50, log=world.entry("b")).id == "hive_b"
    again = store.enrol(other, token_sha256="token", now_ms=60, log=world.entry("b again"))
    assert again.id == "hive_b"
    with pytest.raises(ForbiddenError) as refused:
        third = replace(hive, id="hive_c", public_key="c")
        store.enrol(third, token_sha256="token", now_ms=60, log=world.entry("c"))
    assert refused.value.code == "join_token_invalid"
    assert [row.id for row in store.hives()] == ["hive_a", "hive_b"]


@pytest.mark.parametrize(("token", "now_ms"), [("unknown", 50), ("token", 101)])
def test_an_unknown_or_old_token_enrols_nobody(
    store: SqlStore, world: World, token: str, now_ms: int
) -> None:
    store.add_join_token("token", owner="acct_owner", until_ms=100)
    hive = store.hive("hive_a")
    assert hive is not None
    with pytest.raises(ForbiddenError):
        stranger = replace(hive, id="hive_b", public_key="b")
        store.enrol(stranger, token_sha256=token, now_ms=now_ms, log=world.entry("b"))
    assert store.hive("hive_b") is None


def test_each_link_has_a_newer_epoch_and_the_older_is_refused(store: SqlStore, world: World) -> None:
    old = world.epochs["hive_a"]
    new = store.open_session("hive_a", session_sha256="s2", address="192.0.2.1", now_ms=70)
    assert new == old + 1
    assert not store.contact("hive_a", epoch=old, now_ms=71)
    store.close_session("hive_a", epoch=old, now_ms=72)
    hive = store.hive("hive_a")
    assert hive is not None and hive.linked and hive.session_sha256 == "s2" and hive.address == "192.0.2.1"
    assert store.contact("hive_a", epoch=new, now_ms=73)
    store.close_session("hive_a", epoch=new, now_ms=74)
    hive = store.hive("hive_a")
    assert hive is not None and not hive.linked and hive.last_contact_ms == 73


def test_an_offer_replaces_the_one_before(store: SqlStore, world: World) -> None:
    models = (
        HiveModel("a", None, "e", None, None, None, False),
        HiveModel("b", "f" * 64, "e", "q4", 1, 2, True),
    )
    offer = {"name": "n", "region": "US", "slots": 7, "devices": ("gpu",), "simulated": (), "now_ms": 80}
    store.offer("hive_a", epoch=world.epochs["hive_a"], models=models, **offer)
    hive = store.hive("hive_a")
    assert hive is not None
    assert (hive.region, hive.slots, hive.devices, hive.simulated) == ("US", 7, ("gpu",), ())
    assert hive.models == models
    with pytest.raises(StateMoved):
        store.offer("hive_a", epoch=0, models=(), **offer)


def test_a_revoked_hive_comes_back_by_no_way(store: SqlStore, world: World) -> None:
    store.revoke_hive("hive_a", now_ms=90, log=world.entry("revoked"))
    store.revoke_hive("hive_a", now_ms=91, log=world.entry("revoked twice"))
    with pytest.raises(ForbiddenError) as refused:
        store.open_session("hive_a", session_sha256="s", address=None, now_ms=92)
    assert refused.value.code == "hive_revoked"
    hive = store.hive("hive_a")
    assert hive is not None and hive.status == "revoked" and not hive.linked
    store.add_join_token("token", owner="acct_owner", until_ms=100)
    with pytest.raises(ForbiddenError):
        store.enrol(hive, token_sha256="token", now_ms=93, log=world.entry("again"))
    epoch = store.lead(holder="x", now_ms=1, lease_ms=1) or 0
    leaves = [row.leaf for row in store.assign(epoch=epoch, limit=9)]
    assert leaves == [b"enrolled hive_a", b"revoked"]


def test_an_unknown_hive_is_said_to_be_unknown(store: SqlStore) -> None:
    with pytest.raises(NotFoundError):
        store.open_session("hive_x", session_sha256="s", address=None, now_ms=1)
    with pytest.raises(NotFoundError):
        store.set_draining("hive_x", True)
    assert store.hive("hive_x") is None


def test_a_grant_is_minted_once_per_key(store: SqlStore, world: World) -> None:
    key = TrustedKey(world.signer, world.account, "payer", "active", added_ms=5)
    store.trust(key, grant_micro=GRANT_MICRO)
    assert store.balance(world.account) == (GRANT_MICRO, 0, 0)


def test_a_key_can_lose_trust_and_get_it_back(store: SqlStore, world: World) -> None:
    store.untrust(world.signer, now_ms=9)
    key = store.trusted_key(world.signer)
    assert key is not None and key.status == "revoked"
    store.trust(replace(key, status="active"), grant_micro=0)
    assert [row.status for row in store.trusted_keys()] == ["active"]
    assert store.trusted_key("nobody") is None
    with pytest.raises(NotFoundError):
        store.untrust("nobody", now_ms=9)
