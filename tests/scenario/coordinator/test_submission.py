"""What may be posted again, and what may not; each against a coordinator of its own."""

import json
import os
from typing import Any

from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.keys import PrivateKey

from .conftest import Coordinator, noop


def broken(raw: bytes) -> bytes:
    value = json.loads(raw)
    value["signature"] = encode_base64(b"\1" * 64)
    return json.dumps(value).encode()


def outcome(answer: Any) -> tuple[int, Any]:
    return answer.status, answer.json.get("code")


def test_a_bad_signature_burns_neither_nonce_nor_id(coordinator: Coordinator) -> None:
    raw = coordinator.sign(noop("fresh"))

    assert outcome(coordinator.post_job(broken(raw))) == (400, "signature_invalid")
    assert outcome(coordinator.post_job(raw)) == (202, None)


def test_an_id_serves_once_and_so_does_a_nonce(coordinator: Coordinator) -> None:
    nonce = {"nonce": "once-and-never-again"}
    first = coordinator.sign(noop("first", metadata=nonce))

    assert coordinator.post_job(first).status == 202
    assert outcome(coordinator.post_job(first)) == (409, "job_id_taken")
    assert outcome(coordinator.post_job(coordinator.sign(noop("first")))) == (409, "job_id_taken")
    same_nonce = coordinator.sign(noop("second", metadata=nonce))
    assert outcome(coordinator.post_job(same_nonce)) == (409, "nonce_repeated")
    assert coordinator.post_job(coordinator.sign(noop("second"))).status == 202


def test_an_idempotency_key_replays_the_same_body_alone(coordinator: Coordinator) -> None:
    raw, key = coordinator.sign(noop("again")), {"Idempotency-Key": '"key-1"'}

    first = coordinator.post_job(raw, headers=key)
    again = coordinator.post_job(raw, headers={"Idempotency-Key": "key-1"})
    other = coordinator.post_job(coordinator.sign(noop("other")), headers=key)

    assert (first.status, again.status) == (202, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json["id"] == first.json["id"]
    assert outcome(other) == (422, "idempotency_key_reused")


def test_a_key_is_trusted_then_revoked(coordinator: Coordinator) -> None:
    friend = PrivateKey.generate(os.urandom)
    body = json.dumps({"public_key": friend.public.base64, "key_id": "friend", "credits": "1"}).encode()

    added = coordinator.ask("POST", "/api/v1/keys", body, admin=True)
    job = coordinator.post_job(coordinator.sign(noop("friendly"), key=friend))
    refused = coordinator.ask("GET", "/api/v1/keys", key=friend)
    revoked = coordinator.ask(
        "POST",
        "/api/v1/keys/revoke",
        body[:0] + json.dumps({"public_key": friend.public.base64}).encode(),
        key=coordinator.account_key,
    )
    late = coordinator.post_job(coordinator.sign(noop("too-late"), key=friend))

    assert (added.status, added.json["key_id"]) == (201, "friend")
    assert job.status == 202
    assert outcome(refused) == (403, "role_too_low")
    assert (revoked.status, revoked.json["status"]) == (200, "revoked")
    assert outcome(late) == (403, "key_revoked")


def test_a_balance_that_does_not_reach_is_refused_and_holds_nothing(coordinator: Coordinator) -> None:
    poor = PrivateKey.generate(os.urandom)
    body = json.dumps({"public_key": poor.public.base64, "credits": "0.00015"}).encode()
    assert coordinator.ask("POST", "/api/v1/keys", body, admin=True).status == 201

    too_much = coordinator.post_job(coordinator.sign(noop("two", runs=2), key=poor))
    enough = coordinator.post_job(coordinator.sign(noop("one"), key=poor))

    assert outcome(too_much) == (402, "balance_too_low")
    assert enough.status == 202


def test_every_acknowledged_job_survives_a_kill(coordinator: Coordinator) -> None:
    jobs = {coordinator.submit(noop(f"kept-{number}")) for number in range(5)}

    coordinator.stop(9)
    coordinator.start()

    listed = coordinator.get("/api/v1/jobs", key=coordinator.account_key)["jobs"]
    assert {job["id"] for job in listed} == jobs
    assert {job["state"] for job in listed} == {"enqueued"}
    assert coordinator.ready["first_start"] is None
