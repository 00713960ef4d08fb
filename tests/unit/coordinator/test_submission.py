"""Submission: the order of its checks is a promise, because the first that fails is what a client is told."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from hivemark.coordinator.service.access import Reader
from hivemark.errors import HivemarkError
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.keys import PrivateKey

from .conftest import START_MS, World, benchmark, noop

DAY_MS = 86_400_000


def code_of(world: World, raw: bytes, *, idempotency_key: str | None = None) -> str:
    with pytest.raises(HivemarkError) as caught:
        world.services.submission.submit(raw, idempotency_key=idempotency_key, now_ms=world.now_ms)
    return caught.value.code


def test_the_checks_come_in_the_order_of_the_specification(world: World) -> None:
    """One spec with every fault; as each is mended, the next in the order shows."""
    world.hive().link()
    stranger = PrivateKey.generate(os.urandom)
    world.submit(noop("taken", metadata={"nonce": "spent-and-gone-1"}))
    world.submit(noop("keyed"), idempotency_key="key")
    spec: dict[str, Any] = benchmark(
        "taken",
        surprise=1,
        questions=["no-such-question"],
        models=["no-such-model"],
        runs=100,
        constraints={"regions": ["ATLANTIS"], "max_cost": "0.000001"},
        execution={
            "arms": [{"id": f"arm-{number}"} for number in range(16)],
            "verification": {"replicas": 16},
        },
        metadata={"nonce": "spent-and-gone-1"},
    )
    signed_ms, key, idempotency_key, broken = START_MS - 2 * DAY_MS, stranger, "key", True
    met: list[str] = []

    def trust() -> None:
        nonlocal key
        key = world.account_key

    def mend_signature() -> None:
        nonlocal broken
        broken = False

    def other_key() -> None:
        nonlocal idempotency_key
        idempotency_key = "another"

    def sign_now() -> None:
        nonlocal signed_ms
        signed_ms = START_MS

    mends: list[tuple[str, Callable[[], Any]]] = [
        ("member_unknown", lambda: spec.pop("surprise")),
        ("signature_invalid", mend_signature),
        ("key_not_trusted", trust),
        ("idempotency_key_reused", other_key),
        ("timestamp_too_old", sign_now),
        ("job_id_taken", lambda: spec.update(id="fresh")),
        ("nonce_repeated", lambda: spec.update(metadata={"nonce": "not-yet-spent-1"})),
        ("unknown_question", lambda: spec.update(questions=[{"id": "q", "text": "hello"}])),
        ("unknown_model", lambda: spec.update(models=["tiny"])),
        ("unknown_region", lambda: spec["constraints"].update(regions=["US"])),
        ("too_many_executions", lambda: spec.update(runs=1, execution={})),
        ("max_cost_exceeded", lambda: spec["constraints"].update(max_cost=None)),
    ]
    for expected, mend in mends:
        surprise = {"surprise": spec["surprise"]} if "surprise" in spec else {}
        clean = {name: member for name, member in spec.items() if name != "surprise"}
        value = json.loads(sign_jobspec(clean, key, now_ms=signed_ms, random=os.urandom))
        value.update(surprise)
        if broken:
            value["signature"] = encode_base64(b"\1" * 64)
        met.append(code_of(world, json.dumps(value).encode(), idempotency_key=idempotency_key))
        assert met[-1] == expected, f"after {met}"
        mend()
    assert world.services.submission.submit(
        sign_jobspec(spec, key, now_ms=signed_ms, random=os.urandom),
        idempotency_key=idempotency_key,
        now_ms=world.now_ms,
    )


def test_a_replay_is_answered_even_when_the_spec_has_grown_old(world: World) -> None:
    raw = world.sign(noop())
    first = world.services.submission.submit(raw, idempotency_key="k", now_ms=world.now_ms)
    later = world.services.submission.submit(raw, idempotency_key="k", now_ms=world.now_ms + 3 * DAY_MS)
    assert (first.replayed, later.replayed, later.job.id) == (False, True, first.job.id)


def test_a_model_with_several_weights_has_to_be_pinned(world: World) -> None:
    from hivemark.api.link import OfferedModel

    digests = ["1" * 64, "2" * 64]
    for digest in digests:
        world.hive().link(models=(OfferedModel(name="twin", weights_sha256=digest, engine="e"),))
    assert code_of(world, world.sign(benchmark(models=["twin"]))) == "ambiguous_model"
    pinned = world.submit(benchmark(models=[{"name": "twin", "digest": digests[1]}])).job
    view = world.services.jobs.executions(Reader(account=pinned.account), job=pinned, before=None, limit=9)
    assert view[0].execution.weights_sha256 == digests[1]
    wrong = world.sign(benchmark("b2", models=[{"name": "twin", "digest": "3" * 64}]))
    assert code_of(world, wrong) == "unknown_model"


def test_only_a_hive_with_the_digest_is_given_the_work(world: World) -> None:
    from hivemark.api.link import OfferedModel

    with_one = world.hive().link(models=(OfferedModel(name="twin", weights_sha256="1" * 64, engine="e"),))
    with_two = world.hive().link(models=(OfferedModel(name="twin", weights_sha256="2" * 64, engine="e"),))
    world.submit(benchmark(models=[{"name": "twin", "digest": "2" * 64}]))
    assert with_one.tick() == []
    with_two.tick()
    assert len(with_two.leases) == 1


def test_denied_providers_get_nothing(world: World) -> None:
    hive, other = world.hive().link(), world.hive().link()
    world.submit(noop(constraints={"providers": {"deny": [hive.id]}}))
    assert hive.tick() == []
    other.tick()
    assert len(other.leases) == 1


def test_a_job_says_what_it_waits_for(world: World) -> None:
    job = world.submit(noop(constraints={"regions": ["EU"]})).job
    assert world.services.jobs.view(job).waiting_for == ("a hive in EU",)
    hive = world.hive(region="EU").link(slots=0)
    assert world.services.jobs.view(job).waiting_for == ()
    assert hive.session is not None
    hive.session.end(now_ms=world.now_ms)
    assert world.services.jobs.view(job).waiting_for == ("hive attic in EU to link again",)


def test_a_job_says_that_no_hive_is_admitted(world: World) -> None:
    hive, other = world.hive(region="EU").link(), world.hive(region="EU").link(slots=0)
    constraints = {"regions": ["EU"], "providers": {"allow": ["hive_nobody"]}}
    benched = world.submit(benchmark(constraints=constraints)).job
    bare = world.submit(noop(constraints={"providers": {"deny": [hive.id, other.id]}})).job
    admitted = world.submit(noop("admitted", constraints={"providers": {"allow": [other.id]}})).job
    assert hive.tick() == []
    assert [world.services.jobs.view(job).waiting_for for job in (benched, bare, admitted)] == [
        ("a hive in EU that offers tiny and that constraints.providers admits",),
        ("a hive that constraints.providers admits",),
        (),
    ]


def test_a_job_says_that_the_model_is_offered_with_a_digest_now(world: World) -> None:
    from hivemark.api.link import Offer, OfferedModel

    def offer(digest: str | None) -> Offer:
        model = OfferedModel(name="m", weights_sha256=digest, engine="e")
        return Offer(name="attic", region="US", slots=0, models=(model,))

    hive = world.hive().link(slots=0, models=offer(None).models)
    job = world.submit(benchmark(models=["m"])).job
    assert world.services.jobs.view(job).waiting_for == ()
    hive.send(offer("1" * 64))
    assert world.services.jobs.view(job).waiting_for == ("a hive that offers m without a digest",)


def test_a_deadline_ends_what_is_left(world: World) -> None:
    job = world.submit(noop(constraints={"timeout_s": 5})).job
    world.wait(6)
    assert world.services.deadlines.step(world.now_ms) == 1
    assert world.executions(job.id) == ["failed"]
    done = world.store.job(job.id)
    assert done is not None
    assert (done.state, done.held_micro) == ("failed", 0)


def test_three_declines_leave_an_execution_dead(world: World) -> None:
    from hivemark.api.link import Declined

    job = world.submit(noop()).job
    hive = world.hive().link()
    for number in range(3):
        lease = hive.leases[number]
        hive.send(
            Declined(attempt=lease.attempt, lease_version=lease.lease_version, code="task_failed", message="")
        )
        world.wait(3)
        hive.tick()
    assert world.executions(job.id) == ["dead"]
    assert len(hive.leases) == 3
