"""A link from its first message to its end, without a socket."""

from typing import Any

import msgspec
import pytest

from hivemark.api.handshake import Transcript
from hivemark.api.link import (
    PROTOCOL_VERSION,
    Cancel,
    Declined,
    Drain,
    Heartbeat,
    HeldAttempt,
    HiveFrame,
    OfferedModel,
    Proof,
    Started,
    Verdicts,
)
from hivemark.coordinator.gateway.session import Close
from hivemark.coordinator.service.access import Reader, Role
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.keys import PrivateKey

from .conftest import World, noop

READER = Reader(role=Role.ADMIN)


def holding(lease: Any, *, finished: bool = False) -> HeldAttempt:
    return HeldAttempt(attempt=lease.attempt, lease_version=lease.lease_version, finished=finished)


def test_no_lease_comes_before_offer_and_reconcile(world: World) -> None:
    hive = world.hive()
    world.submit(noop())
    hive.session = world.session()
    (challenge,) = hive.say(hive.hello())
    hive.say(hive.prove(challenge))
    assert hive.tick() == []
    hive = world.hive().link()
    assert len(hive.leases) == 1


def test_leases_fill_the_slots_and_no_more(world: World) -> None:
    world.submit(noop(runs=5))
    hive = world.hive().link(slots=2)
    assert len(hive.leases) == 2
    assert hive.tick() == []
    hive.deliver(hive.result(hive.leases[0]))
    hive.tick()
    assert len(hive.leases) == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"protocol": 99}, "protocol_unsupported"),
        ({"hive": "hive_" + "a" * 26}, "unknown_hive"),
        ({"public_key": PrivateKey.from_seed(b"\1" * 32).public.base64}, "unknown_hive"),
        ({"nonce": "short"}, "handshake_failed"),
        ({"public_key": "x"}, "handshake_failed"),
    ],
)
def test_a_hello_that_is_wrong_is_refused(world: World, changes: dict[str, Any], code: str) -> None:
    hive = world.hive()
    hive.session = world.session()
    refused, close = hive.say(hive.hello(**changes))
    assert refused.code == code
    assert isinstance(close, Close)
    assert hive.session.closed


def test_a_proof_by_another_key_is_refused(world: World) -> None:
    hive = world.hive()
    hive.session = world.session()
    (challenge,) = hive.say(hive.hello())
    hive.prove(challenge)
    transcript = Transcript(
        network=challenge.network,
        hive=hive.id,
        hive_key=hive.key.public.base64,
        service_key=challenge.service_key,
        hive_nonce=hive.hello().nonce,
        service_nonce=challenge.nonce,
        protocol=PROTOCOL_VERSION,
    )
    thief = PrivateKey.from_seed(b"\1" * 32)
    refused, _ = hive.say(Proof(signature=transcript.sign("hive", thief)))
    assert refused.code == "handshake_failed"


def test_a_proof_before_the_hello_is_refused(world: World) -> None:
    hive = world.hive()
    hive.session = world.session()
    refused, _ = hive.say(Proof(signature=encode_base64(b"\1" * 64)))
    assert refused.code == "handshake_failed"


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"type":"welcome"}', b"\xff\xfe", b"{" * 100])
def test_garbage_ends_the_link(world: World, text: bytes) -> None:
    session = world.session()
    effects = session.receive(text, now_ms=world.now_ms)
    assert isinstance(effects[-1], Close)
    linked = world.hive().link()
    assert linked.session is not None
    (close,) = linked.session.receive(text, now_ms=world.now_ms)
    assert close == Close(1008, "message_malformed")


@pytest.mark.parametrize(
    "offer",
    [
        {"slots": 1_025},
        {"slots": -1},
        {"slots": 10**40},
        {"name": "x" * 256},
        {"name": ""},
        {"name": "\x1b[2J"},
        {"name": "a\0b"},
        {"name": "a\u202eb"},
        {"devices": ("x",) * 65},
        {"devices": ("\n",)},
        {"simulated": ("\x9b",)},
        {"region": "MARS"},
    ],
)
def test_an_offer_beyond_its_bounds_closes_the_link(world: World, offer: dict[str, Any]) -> None:
    hive = world.hive().link(**offer)
    assert Close(1008, "unknown_region" if "region" in offer else "member_invalid") in hive.received
    assert world.store.hive(hive.id).name != offer.get("name")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "model",
    [
        {"context_tokens": 10**30},
        {"bytes": -5},
        {"weights_sha256": "zz"},
        {"name": "\x1b[31m"},
        {"engine": "x" * 256},
        {"quantisation": "\0"},
    ],
)
def test_a_model_beyond_its_bounds_closes_the_link(world: World, model: dict[str, Any]) -> None:
    offered = OfferedModel(**{"name": "tiny", "weights_sha256": None, "engine": "test", **model})
    hive = world.hive().link(models=(offered,))
    assert Close(1008, "member_invalid") in hive.received


def test_a_handshake_that_takes_too_long_may_be_tried_again(world: World) -> None:
    hive = world.hive()
    hive.session = world.session()
    world.wait(10)
    refused, _ = hive.tick()
    assert (refused.code, refused.retryable) == ("handshake_failed", True)


def test_a_silent_link_is_closed(world: World) -> None:
    hive = world.hive().link()
    world.wait(9.9)
    assert hive.tick() == []
    world.wait(0.1)
    assert hive.tick() == [Close(1011, "silent")]


def test_a_second_link_ends_the_first(world: World) -> None:
    hive = world.hive().link()
    first, channel = hive.session, hive.channel
    hive.channel = None
    hive.link()
    assert first is not None
    (close,) = first.tick(now_ms=world.now_ms)
    assert isinstance(close, Close)
    assert channel is not None and channel.epoch < hive.welcome.epoch  # type: ignore[union-attr]
    first.end(now_ms=world.now_ms)
    assert world.services.hives.get(hive.id).linked


def test_a_frame_of_another_epoch_ends_the_link(world: World) -> None:
    hive = world.hive().link()
    assert hive.session is not None and hive.channel is not None
    frame = HiveFrame(epoch=hive.channel.epoch - 1, seq=3, ack=0, body=Heartbeat(held=()))
    (close,) = hive.session.receive(msgspec.json.encode(frame), now_ms=world.now_ms)
    assert close == Close(1011, "epoch_stale")


def test_every_heartbeat_is_answered_and_renews(world: World) -> None:
    job = world.submit(noop()).job
    hive = world.hive().link()
    for _ in range(10):
        assert world.live(5) == 0
        (verdicts,) = hive.send(Heartbeat(held=(holding(hive.leases[0]),)))
        assert verdicts == Verdicts(proceed=(), drop=())
    assert world.executions(job.id) == ["leased"]


def test_a_lease_without_heartbeats_is_lost_and_given_again(world: World) -> None:
    job = world.submit(noop()).job
    hive = world.hive().link()
    assert world.live(17) == 1
    assert world.executions(job.id) == ["queued"]
    (verdicts,) = hive.send(Heartbeat(held=(holding(hive.leases[0]),)))
    assert verdicts.drop == (hive.leases[0].attempt,)
    world.wait(1)
    hive.send(Heartbeat(held=()))
    hive.tick()
    assert len(hive.leases) == 2
    assert hive.deliver(hive.result(hive.leases[0])) == "late"
    assert hive.deliver(hive.result(hive.leases[0])) == "duplicate"
    assert hive.deliver(hive.result(hive.leases[1])) == "accepted"
    assert world.executions(job.id) == ["completed"]
    assert world.outcomes() == ["lost", "late", "accepted"]


def test_three_lost_leases_leave_an_execution_dead(world: World) -> None:
    job = world.submit(noop(constraints={"timeout_s": 3600})).job
    for number in range(3):
        hive = world.hive().link()
        assert len(hive.leases) == 1, number
        assert world.live(30) == 1
    assert world.executions(job.id) == ["dead"]
    assert world.services.jobs.find(job.id, READER).state == "failed"
    assert world.outcomes() == ["lost"] * 3


def test_what_a_hive_does_not_bring_back_is_lost_at_once(world: World) -> None:
    job = world.submit(noop(runs=2)).job
    hive = world.hive().link()
    kept, gone = hive.leases
    hive.channel = None
    hive.link(held=(holding(kept), HeldAttempt(attempt="att_unknown", lease_version=1, finished=False)))
    verdicts = next(message for message in hive.received if isinstance(message, Verdicts) and message.drop)
    assert (verdicts.proceed, verdicts.drop) == ((kept.attempt,), ("att_unknown",))
    assert sorted(world.executions(job.id)) == ["leased", "queued"]
    assert hive.deliver(hive.result(kept)) == "accepted"
    assert hive.deliver(hive.result(gone)) == "late"


def test_a_declined_lease_is_queued_again(world: World) -> None:
    job = world.submit(noop()).job
    hive = world.hive().link()
    lease = hive.leases[0]
    hive.send(
        Declined(attempt=lease.attempt, lease_version=lease.lease_version, code="busy", message="later")
    )
    assert world.executions(job.id) == ["queued"]


def test_what_a_hive_gave_back_goes_to_another_that_can_run_it(world: World) -> None:
    job = world.submit(noop()).job
    bad = world.hive().link()
    good = world.hive().link(slots=1)
    lease = bad.leases[0]
    bad.send(Declined(attempt=lease.attempt, lease_version=lease.lease_version, code="busy", message=""))
    world.wait(5)
    bad.tick()
    assert world.executions(job.id) == ["queued"]
    good.tick()
    assert [lease.execution for lease in good.leases] == [lease.execution]


def test_what_a_hive_gave_back_returns_to_it_when_no_other_can_run_it(world: World) -> None:
    job = world.submit(noop()).job
    only = world.hive().link()
    world.hive(region="EU").link(slots=0)
    lease = only.leases[0]
    only.send(Declined(attempt=lease.attempt, lease_version=lease.lease_version, code="busy", message=""))
    world.wait(5)
    only.tick()
    assert world.executions(job.id) == ["leased"]


def test_started_is_believed_of_the_own_lease_alone(world: World) -> None:
    job = world.submit(noop()).job
    hive = world.hive().link()
    lease = hive.leases[0]
    other = world.hive().link()
    other.send(Started(attempt=lease.attempt, lease_version=lease.lease_version))
    assert world.executions(job.id) == ["leased"]
    hive.send(Started(attempt=lease.attempt, lease_version=lease.lease_version))
    assert world.executions(job.id) == ["running"]


def test_a_cancelled_job_is_cancelled_at_the_hive(world: World) -> None:
    job = world.submit(noop()).job
    hive = world.hive().link()
    world.services.jobs.cancel(job.id, READER, now_ms=world.now_ms)
    assert hive.tick() == [Cancel(attempt=hive.leases[0].attempt)]
    assert hive.tick() == []
    assert world.outcomes() == ["cut"]
    assert world.services.reaper.step(world.now_ms) == 0


def test_a_draining_hive_is_told_and_gets_nothing(world: World) -> None:
    hive = world.hive().link()
    world.services.hives.set_draining(hive.id, True)
    world.submit(noop())
    assert hive.tick() == [Drain(on=True)]
    assert hive.leases == []
    world.services.hives.set_draining(hive.id, False)
    assert hive.tick()[0] == Drain(on=False)
    assert len(hive.leases) == 1


def test_a_revoked_hive_is_cut_off_and_stays_out(world: World) -> None:
    hive = world.hive().link()
    world.services.hives.revoke(hive.id, now_ms=world.now_ms)
    assert hive.tick() == [Close(1008, "revoked")]
    again = hive.world.session()
    hive.session, hive.channel = again, None
    refused, _ = hive.say(hive.hello())
    assert (refused.code, refused.retryable) == ("revoked", False)


def test_stopping_closes_links_so_that_they_come_back(world: World) -> None:
    hive = world.hive().link()
    assert hive.session is not None
    assert hive.session.refuse("maintenance", "stopping") == [Close(1012, "maintenance")]
    hive.session.end(now_ms=world.now_ms)
    assert not world.services.hives.get(hive.id).linked


def test_a_coordinator_that_stood_still_ends_no_lease_before_hives_could_renew(world: World) -> None:
    job = world.submit(noop()).job
    hive = world.hive().link()
    world.live(10)
    hive.send(Heartbeat(held=(holding(hive.leases[0]),)))
    world.wait(120)
    assert world.services.reaper.step(world.now_ms) == 0
    hive.send(Heartbeat(held=(holding(hive.leases[0]),)))
    assert world.live(10) == 0
    assert world.executions(job.id) == ["leased"]
