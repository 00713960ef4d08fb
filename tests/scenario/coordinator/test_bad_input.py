"""Everything bad that can be posted is refused by the running program, with a code, a field and a reason."""

import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.times import format_ms

from .conftest import Answer, Coordinator, noop, now_ms

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def no_trace(shared: Coordinator) -> Any:
    """What is refused leaves nothing behind."""
    before = jobs(shared)
    yield
    assert jobs(shared) == before


def jobs(coordinator: Coordinator) -> list[str]:
    return [job["id"] for job in coordinator.get("/api/v1/jobs", key=coordinator.account_key)["jobs"]]


def stderr_of(coordinator: Coordinator) -> str:
    return (coordinator.home / "stderr").read_text()


@pytest.mark.parametrize("headers", [{"Hivemark-Epoch": "9" * 5_000}, {"Hivemark-Epoch": "-1"}])
def test_an_epoch_that_is_no_number_is_refused(shared: Coordinator, headers: dict[str, str]) -> None:
    extra = {"Authorization": "Bearer x", "Hivemark-Hive": "hive_x", **headers}
    answer = shared.ask("POST", "/api/v1/link/attempts/att_x/result", b"{}", headers=extra)
    refused(answer, 401, "credential_missing", None)
    assert "Traceback" not in stderr_of(shared)


def test_a_tile_path_longer_than_any_log_is_refused(shared: Coordinator) -> None:
    refused(shared.ask("GET", f"/log/tile/0/{'x999/' * 5_000}999"), 400, "tile_path_malformed", "path")
    assert "Traceback" not in stderr_of(shared)


def test_a_client_that_leaves_while_it_sends_is_no_error(shared: Coordinator) -> None:
    host, port = shared.url.removeprefix("http://").split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
            time.sleep(0.1)
    assert shared.ask("GET", "/health").status == 200
    assert "Traceback" not in stderr_of(shared)


def test_a_binary_message_closes_the_link(shared: Coordinator) -> None:
    host, port = shared.url.removeprefix("http://").split(":")
    upgrade = (
        "GET /api/v1/link HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(upgrade.encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 101")
        client.sendall(b"\x82\x82\0\0\0\0{}")  # a masked binary frame
        received = b""
        while b"\x88" not in received:  # the close frame
            received += client.recv(4096)
    assert b"handshake_failed" in received
    assert "Traceback" not in stderr_of(shared)


def refused(answer: Answer, status: int, code: str, field: str | None) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert (answer.status, problem["code"], problem["field"]) == (status, code, field)
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["retryable"] is False


def changed(raw: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    value = json.loads(raw)
    change(value)
    return json.dumps(value).encode()


def with_signature(size: int) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update(signature=encode_base64(b"\1" * size))


def with_key(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update(public_key=text)


def test_one_changed_byte(shared: Coordinator) -> None:
    raw = shared.sign(noop("one-byte", runs=2))
    refused(shared.post_job(raw.replace(b'"runs": 2', b'"runs": 3')), 400, "signature_invalid", None)


def test_one_changed_bit_of_the_signature(shared: Coordinator) -> None:
    def flip(value: dict[str, Any]) -> None:
        signature = bytearray(decode_base64(value["signature"]))
        signature[3] ^= 1
        value["signature"] = encode_base64(bytes(signature))

    raw = changed(shared.sign(noop("one-bit")), flip)
    refused(shared.post_job(raw), 400, "signature_invalid", None)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        (lambda value: value.pop("signature"), "signature_missing", "signature"),
        (lambda value: value.update(signature=None), "signature_missing", "signature"),
        (lambda value: value.pop("public_key"), "signature_missing", "public_key"),
        (with_signature(63), "signature_malformed", "signature"),
        (with_signature(65), "signature_malformed", "signature"),
        (lambda value: value.update(signature="no base64!"), "signature_malformed", "signature"),
        (lambda value: value.update(signature=7), "signature_malformed", "signature"),
        (with_key(encode_base64(b"\1" * 31)), "public_key_malformed", "public_key"),
        (with_key(encode_base64(b"\1" * 33)), "public_key_malformed", "public_key"),
        (with_key("A" * 42 + "B="), "public_key_malformed", "public_key"),
        (with_key("-_" * 21 + "A="), "public_key_malformed", "public_key"),
    ],
)
def test_missing_and_malformed_signatures(
    shared: Coordinator, change: Callable[[dict[str, Any]], None], code: str, field: str
) -> None:
    raw = changed(shared.sign(noop("malformed")), change)
    refused(shared.post_job(raw), 400, code, field)


def test_a_key_of_small_order_signs_nothing(shared: Coordinator) -> None:
    def weaken(value: dict[str, Any]) -> None:
        value["public_key"] = encode_base64(b"\1" + b"\0" * 31)
        value["signature"] = encode_base64(b"\1" + b"\0" * 63)

    raw = changed(shared.sign(noop("weak")), weaken)
    refused(shared.post_job(raw), 400, "signature_invalid", None)


def test_an_untrusted_key_is_told_how_to_become_trusted(shared: Coordinator) -> None:
    stranger = PrivateKey.generate(os.urandom)

    answer = shared.post_job(shared.sign(noop("stranger"), key=stranger))

    refused(answer, 403, "key_not_trusted", "public_key")
    assert f"hivemark keys trust {stranger.public.base64}" in answer.json["hint"]


@pytest.mark.parametrize(
    ("at_ms", "code"),
    [(-25 * HOUR_MS, "timestamp_too_old"), (6 * 60_000, "timestamp_in_future")],
)
def test_old_and_future_timestamps(shared: Coordinator, at_ms: int, code: str) -> None:
    spec = noop("timed", metadata={"timestamp": format_ms(now_ms() + at_ms)})
    refused(shared.post_job(shared.sign(spec)), 400, code, "metadata.timestamp")


def test_a_validity_that_is_over(shared: Coordinator) -> None:
    spec = noop("over", execution={"valid_until": format_ms(now_ms() - 1000)})
    refused(shared.post_job(shared.sign(spec)), 400, "validity_over", "execution.valid_until")


@pytest.mark.parametrize("member", ["timestamp", "nonce"])
def test_missing_metadata(shared: Coordinator, member: str) -> None:
    raw = changed(shared.sign(noop("bare")), lambda value: value["metadata"].pop(member))
    refused(shared.post_job(raw), 400, f"{member}_missing", f"metadata.{member}")


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b'{"id":"a","id":"b"}', 400, "json_duplicate_key"),
        (b'{"runs":NaN}', 400, "json_not_finite"),
        (b'{"runs":-Infinity}', 400, "json_not_finite"),
        (b'{"runs":1152921504606846976}', 400, "json_number_range"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "json_depth"),
        (b'{"id":"\\ud800"}', 400, "json_surrogate"),
        (b'{"id":"\xed\xa0\x80"}', 400, "json_utf8"),
        (b"\xef\xbb\xbf{}", 400, "json_utf8"),
        (b'{"id":', 400, "json_malformed"),
        (b"", 400, "json_malformed"),
        (b"[]", 400, "json_not_object"),
        (b'"' + b"x" * (1_048_576 - 1) + b'"', 413, "too_large"),
    ],
)
def test_what_is_not_strict_json(shared: Coordinator, raw: bytes, status: int, code: str) -> None:
    answer = shared.post_job(raw)
    assert (answer.status, answer.json["code"]) == (status, code)


def test_exactly_one_mebibyte_is_read(shared: Coordinator) -> None:
    answer = shared.post_job(b'{"id":"' + b"x" * (1_048_576 - 9) + b'"}')
    assert (answer.status, answer.json["code"]) == (400, "signature_missing")


@pytest.mark.parametrize(
    ("members", "status", "code", "field"),
    [
        ({"surprise": 1}, 400, "member_unknown", "surprise"),
        ({"constraints": {"region": "US"}}, 400, "member_unknown", "constraints.region"),
        ({"runs": 0}, 400, "member_invalid", "runs"),
        ({"runs": 101}, 400, "member_invalid", "runs"),
        ({"constraints": {"regions": ["US", "ATLANTIS"]}}, 400, "unknown_region", "constraints.regions[1]"),
        ({"constraints": {"max_cost": "0.000001"}}, 422, "max_cost_exceeded", "constraints.max_cost"),
        ({"container": {"image": "alpine"}}, 422, "container_unsupported", "container.image"),
        ({"execution": {"verification": {"class": "exact"}}}, 422, "verification_unsupported", None),
        ({"constraints": {"labels": {"gpu": "yes"}}}, 422, "labels_unsatisfiable", "constraints.labels"),
    ],
)
def test_members(
    shared: Coordinator, members: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    value = {**noop("members"), **members, "metadata": {"timestamp": format_ms(now_ms()), "nonce": "n" * 16}}
    key = shared.account_key
    value["public_key"] = key.public.base64
    raw = sign_any(value, key)
    refused(shared.post_job(raw), status, code, field or "execution.verification.class")


def sign_any(value: dict[str, Any], key: PrivateKey) -> bytes:
    """A signature that holds, over a value that `sign_jobspec` would refuse to sign."""
    from hivemark.protocol.signing import JOBSPEC, sign_value

    signature = encode_base64(sign_value(JOBSPEC, value, key))
    return json.dumps({**value, "signature": signature}).encode()


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({"questions": ["no-such-question"]}, "unknown_question", "questions[0]"),
        ({"questions": [{"id": "q", "text": "hello"}]}, "unknown_model", "models[0]"),
    ],
)
def test_unknown_questions_and_models(
    shared: Coordinator, members: dict[str, Any], code: str, field: str
) -> None:
    spec = {"id": "unknown", "version": "1", "benchmark": "b", "models": ["no-such-model"], **members}
    refused(shared.post_job(shared.sign(spec)), 400, code, field)


def test_ten_thousand_executions(shared: Coordinator) -> None:
    arms = [{"id": f"arm-{number}"} for number in range(10)]
    spec = noop("many", runs=100, execution={"arms": arms, "verification": {"replicas": 10}})
    refused(shared.post_job(shared.sign(spec)), 422, "too_many_executions", None)


def test_a_malformed_idempotency_key(shared: Coordinator) -> None:
    answer = shared.post_job(shared.sign(noop("keyed")), headers={"Idempotency-Key": "x" * 256})
    refused(answer, 400, "idempotency_key_malformed", "Idempotency-Key")


def test_unknown_routes_and_methods_answer_in_the_same_form(shared: Coordinator) -> None:
    refused(shared.ask("GET", "/api/v1/nothing"), 404, "unknown_route", None)
    refused(shared.ask("DELETE", "/api/v1/jobs"), 405, "method_not_allowed", None)
    refused(shared.ask("GET", "/api/v1/jobs?limit=0"), 400, "parameter_invalid", "limit")
    refused(shared.ask("GET", "/api/v1/jobs/job_nothing"), 404, "unknown_job", None)
    refused(shared.ask("GET", "/api/v1/executions/exe_nothing"), 404, "unknown_execution", None)
    refused(shared.ask("GET", "/api/v1/transparency/proof?index=-1"), 400, "parameter_invalid", "index")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/v1/hives/join-links"),
        ("POST", "/api/v1/hives/hive_x/revoke"),
        ("POST", "/api/v1/hives/hive_x/drain"),
        ("POST", "/api/v1/keys"),
        ("POST", "/api/v1/keys/revoke"),
        ("GET", "/api/v1/keys"),
    ],
)
def test_nothing_is_changed_without_a_credential(shared: Coordinator, method: str, target: str) -> None:
    answer = shared.ask(method, target, b"{}" if method == "POST" else None)
    refused(answer, 401, "credential_missing", None)
    assert "Bearer" in answer.headers["www-authenticate"]
    wrong = shared.ask(method, target, headers={"Authorization": "Bearer guessed"})
    refused(wrong, 401, "token_invalid", None)
    odd = shared.ask(method, target, headers={"Authorization": "Basic Zm9vOmJhcg=="})
    refused(odd, 401, "scheme_unknown", None)


def test_a_signed_request_counts_once_and_for_itself_alone(shared: Coordinator) -> None:
    from hivemark.api.headers import sign_request

    def header(**changes: Any) -> dict[str, str]:
        how = {"method": "GET", "target": "/api/v1/keys", "body": b"", "now_ms": now_ms(), **changes}
        return {"Authorization": sign_request(shared.account_key, random=os.urandom, **how)}

    once = header()
    assert shared.ask("GET", "/api/v1/keys", headers=once).status == 200
    refused(shared.ask("GET", "/api/v1/keys", headers=once), 401, "nonce_repeated", None)
    other = header(target="/api/v1/jobs")
    refused(shared.ask("GET", "/api/v1/keys", headers=other), 401, "signature_mismatch", None)
    old = header(now_ms=now_ms() - 61_000)
    refused(shared.ask("GET", "/api/v1/keys", headers=old), 401, "signature_expired", None)
    broken = {"Authorization": "Hivemark not-base64!"}
    refused(shared.ask("GET", "/api/v1/keys", headers=broken), 400, "credential_malformed", None)


def test_a_refused_post_is_counted_by_its_code(shared: Coordinator) -> None:
    shared.post_job(b"{}")
    metrics = shared.ask("GET", "/metrics").body.decode()
    assert 'hivemark_submissions_refused_total{code="signature_missing"}' in metrics
    assert 'route="/api/v1/jobs",status="400"' in metrics


def test_the_interface_describes_itself(shared: Coordinator) -> None:
    described = shared.get("/openapi.json")["paths"]
    assert {"/api/v1/jobs", "/api/v1/executions/{execution}/bundle", "/health"} <= described.keys()
    for target in shared.get("/")["links"].values():
        answer = shared.ask("GET", target)
        assert answer.status == 200 or answer.json["code"] == "log_empty", target


def test_secrets_stand_in_no_log_line(shared: Coordinator) -> None:
    shared.ask("GET", "/api/v1/keys", admin=True)
    shared.ask("GET", f"/api/v1/keys?token={shared.admin_token}", headers={"Authorization": "Bearer x"})
    time.sleep(0.1)
    written = (shared.home / "stderr").read_text()
    assert shared.admin_token not in written
    assert encode_base64(shared.account_key.seed) not in written


def test_signing_refuses_what_posting_would_refuse() -> None:
    key = PrivateKey.generate(os.urandom)
    with pytest.raises(Exception, match="surprise"):
        sign_jobspec({**noop("x"), "surprise": 1}, key, now_ms=now_ms(), random=os.urandom)
