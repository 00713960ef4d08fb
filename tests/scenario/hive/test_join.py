"""Joining a network: what is pinned, what is refused, what may be tried again."""

import asyncio
import os
import stat

import aiohttp
import pytest

from hivemark.errors import ConflictError, HivemarkError, InvalidError, UnavailableError, UnverifiedError
from hivemark.hive.config import load_config
from hivemark.hive.enrol import enrol
from hivemark.protocol.keyfile import load_private_key
from hivemark.protocol.keys import PrivateKey


def join(home, link, **changes):
    return asyncio.to_thread(lambda: enrol(home, link, **{"name": "attic", "region": "US", **changes}))


async def test_joining_pins_network_and_service_key_and_keeps_the_key_private(coordinator, tmp_path):
    home = tmp_path / "h"
    enrolled = await join(home, coordinator.join_link(), slots=3, simulated=("region",))
    config = load_config(home)
    assert config.service_key == coordinator.key.public and config.hive.slots == 3
    assert config.coordinator.network == enrolled.network and config.hive.simulated == ("region",)
    assert load_private_key(home / "hive.key").public == coordinator.hive_key
    assert stat.S_IMODE((home / "hive.key").stat().st_mode) == 0o400
    assert (home / "policy").read_text() == enrolled.policy
    assert "t" * 32 not in (home / "hive.toml").read_text()


async def test_another_service_than_the_link_names_is_not_joined_and_the_key_is_kept(coordinator, tmp_path):
    home = tmp_path / "h"
    wrong = coordinator.join_link(key=PrivateKey.generate(os.urandom).public)
    with pytest.raises(UnverifiedError) as refused:
        await join(home, wrong)
    assert refused.value.code == "service_key_mismatch" and not (home / "hive.toml").exists()
    first = coordinator.hive_key
    await join(home, coordinator.join_link())
    assert coordinator.hive_key == first


async def test_a_home_joins_once(coordinator, tmp_path):
    await join(tmp_path / "h", coordinator.join_link())
    with pytest.raises(ConflictError) as refused:
        await join(tmp_path / "h", coordinator.join_link())
    assert refused.value.code == "hive_joined_already" and refused.value.hint


async def test_a_coordinator_that_is_away_is_said_to_be_so(coordinator, tmp_path):
    link = coordinator.join_link()
    await coordinator.stop()
    with pytest.raises(UnavailableError) as refused:
        await join(tmp_path / "h", link)
    assert refused.value.code == "coordinator_unreachable"
    await coordinator.start()


async def test_what_could_not_start_later_is_refused_before_anything_is_made(coordinator, tmp_path):
    with pytest.raises(InvalidError) as refused:
        await join(tmp_path / "h", coordinator.join_link(), region="nowhere at all")
    assert refused.value.field == "hive.region" and not (tmp_path / "h").exists()


async def test_a_hive_without_a_region_claims_none(coordinator, hives):
    await hives.scripted(region=None)
    receipt = await coordinator.result(await coordinator.lease(None))
    assert receipt.region.claimed is None and receipt.absent["region.claimed"] == "not stated"


async def test_a_hive_with_another_key_than_it_pinned_gives_no_proof(coordinator, hives):
    hive = await hives.start(await hives.join())
    await coordinator.wait(lambda: coordinator.offers)
    coordinator.key = PrivateKey.generate(os.urandom)
    await coordinator.drop_link()
    for _ in range(100):
        await asyncio.sleep(0.05)
        refused = [line for line in hive.log() if line.get("code") == "service_key_mismatch"]
        if refused:
            break
    assert refused and coordinator.epoch == 1


async def test_health_says_what_the_agent_knows(coordinator, hives):
    home = await hives.join()
    hive = await hives.start(home, "--health-port", "0")
    await coordinator.wait(lambda: coordinator.offers)
    port = hive.ready["health_port"]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.get("/health") as response:
            body = await response.json()
            assert response.status == 200 and body["status"] == "ok" and body["linked"]
        async with http.get("/metrics") as response:
            assert "hivemark_hive_linked 1" in await response.text()
    assert [worker["loaded"] for worker in body["workers"]] == [False, False]


async def test_errors_of_the_coordinator_reach_whoever_joins(coordinator, tmp_path):
    link = coordinator.join_link()
    other = type(link)(link.host, link.port, "x" * 32, link.service_key_sha256, "another-network")
    with pytest.raises(HivemarkError) as refused:
        await join(tmp_path / "h", other)
    assert refused.value.code == "network_mismatch"
