"""API keys over HTTP: who makes and ends them, what one reads, and that its token is nowhere to be found."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hivemark.protocol.keys import PrivateKey

from .conftest import Answer, Coordinator, noop

KEYS = "/api/v1/api-keys"


def make(coordinator: Coordinator, *, key: PrivateKey | None = None, **members: Any) -> Answer:
    body = json.dumps({"name": "laptop", **members}).encode()
    return coordinator.ask("POST", KEYS, body, key=key or coordinator.account_key)


def with_key(coordinator: Coordinator, token: str, target: str, method: str = "GET") -> Answer:
    body = b"{}" if method == "POST" else None
    return coordinator.ask(method, target, body, headers={"Authorization": f"Bearer {token}"})


def refused(answer: Answer, status: int, code: str, field: str | None = None) -> None:
    assert (answer.status, answer.json["code"], answer.json["field"]) == (status, code, field), answer.body
    assert answer.headers["content-type"] == "application/problem+json"


def stranger(coordinator: Coordinator) -> PrivateKey:
    key = PrivateKey.generate(os.urandom)
    body = json.dumps({"public_key": key.public.base64}).encode()
    assert coordinator.ask("POST", "/api/v1/keys", body, admin=True).status == 201
    return key


def test_a_key_reads_for_its_account_until_it_is_revoked(coordinator: Coordinator) -> None:
    job = coordinator.submit(noop("mine", execution={"visibility": "private"}))
    made = make(coordinator, budget="5", requests_per_minute=60, tokens_per_minute=10_000, ttl_s=3600)
    assert made.status == 201
    assert made.headers["cache-control"] == "no-store"
    token = made.json["token"]
    assert token.startswith("hm_") and token.startswith(made.json["token_start"])

    assert with_key(coordinator, token, f"/api/v1/jobs/{job}").json["id"] == job
    assert [row["id"] for row in with_key(coordinator, token, "/api/v1/jobs").json["jobs"]] == [job]
    seen = coordinator.get(made.headers["location"], key=coordinator.account_key)
    assert "token" not in seen
    assert (seen["budget"], seen["spent"], seen["status"]) == ("5.000000", "0.000000", "active")
    assert seen["scopes"] == ["inference", "read"] and seen["last_used_at"] is not None

    ended = coordinator.ask("DELETE", made.headers["location"], key=coordinator.account_key)
    again = coordinator.ask("DELETE", made.headers["location"], admin=True)
    assert ended.json["status"] == again.json["status"] == "revoked"
    assert ended.json["revoked_at"] == again.json["revoked_at"]
    refused(with_key(coordinator, token, "/api/v1/jobs"), 401, "api_key_revoked")


def test_a_key_does_nothing_but_read(coordinator: Coordinator) -> None:
    job = coordinator.submit(noop("stays"))
    token = make(coordinator).json["token"]
    for method, target in (
        ("POST", f"/api/v1/jobs/{job}/cancel"),
        ("POST", KEYS),
        ("POST", "/api/v1/keys"),
        ("POST", "/api/v1/hives/join-links"),
        ("DELETE", f"{KEYS}/key_x"),
    ):
        refused(with_key(coordinator, token, target, method), 403, "account_signature_required")
    refused(with_key(coordinator, token, KEYS), 403, "account_signature_required")
    refused(with_key(coordinator, token, "/api/v1/keys"), 403, "role_too_low")
    assert coordinator.get(f"/api/v1/jobs/{job}", key=coordinator.account_key)["state"] == "enqueued"


def test_a_key_sees_nothing_of_other_accounts(coordinator: Coordinator) -> None:
    other = stranger(coordinator)
    private = coordinator.submit(noop("secret", execution={"visibility": "private"}), key=other)
    token = make(coordinator).json["token"]  # of the operator, who is an admin when he signs himself
    refused(with_key(coordinator, token, f"/api/v1/jobs/{private}"), 404, "unknown_job")
    assert with_key(coordinator, token, "/api/v1/jobs").json["jobs"] == []


def test_an_account_handles_its_own_keys_and_an_admin_all(coordinator: Coordinator) -> None:
    other = stranger(coordinator)
    mine, theirs = make(coordinator).json, make(coordinator, key=other).json
    assert mine["account"] != theirs["account"]
    target = f"{KEYS}/{mine['id']}"
    refused(coordinator.ask("GET", target, key=other), 404, "unknown_api_key")
    refused(coordinator.ask("DELETE", target, key=other), 404, "unknown_api_key")
    refused(make(coordinator, key=other, account=mine["account"]), 403, "not_yours", "account")
    assert [key["id"] for key in coordinator.get(KEYS, key=other)["api_keys"]] == [theirs["id"]]
    listed = coordinator.get(f"{KEYS}?limit=1", admin=True)
    assert [key["id"] for key in listed["api_keys"]] == [theirs["id"]]
    rest = coordinator.get(f"{KEYS}?limit=1&cursor={listed['next']}", admin=True)
    assert [key["id"] for key in rest["api_keys"]] == [mine["id"]]
    body = json.dumps({"name": "for them", "account": theirs["account"]}).encode()
    assert coordinator.ask("POST", KEYS, body, admin=True).json["account"] == theirs["account"]
    refused(coordinator.ask("GET", KEYS), 401, "credential_missing")
    nobody = {"Authorization": "Bearer nobody"}
    refused(coordinator.ask("GET", KEYS, headers=nobody), 401, "token_invalid")


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({"name": ""}, "member_invalid", "name"),
        ({"name": "x" * 101}, "member_invalid", "name"),
        ({"name": "a\u0007b"}, "member_invalid", "name"),
        ({"name": 7}, "member_invalid", "name"),
        ({"scopes": []}, "member_invalid", "scopes"),
        ({"scopes": ["admin"]}, "member_invalid", "scopes"),
        ({"models": []}, "member_invalid", "models"),
        ({"models": [""]}, "member_invalid", "models"),
        ({"models": ["m"] * 101}, "member_invalid", "models"),
        ({"budget": "-1"}, "credits_malformed", "budget"),
        ({"budget": "0"}, "member_invalid", "budget"),
        ({"budget": 5}, "member_invalid", "budget"),
        ({"budget": "1e9"}, "credits_malformed", "budget"),
        ({"requests_per_minute": 0}, "member_invalid", "requests_per_minute"),
        ({"requests_per_minute": True}, "member_invalid", "requests_per_minute"),
        ({"tokens_per_minute": 10**9 + 1}, "member_invalid", "tokens_per_minute"),
        ({"tokens_per_minute": 1.5}, "member_invalid", "tokens_per_minute"),
        ({"ttl_s": 0}, "member_invalid", "ttl_s"),
        ({"ttl_s": 1e12}, "member_invalid", "ttl_s"),
        ({"token": "hm_mine"}, "member_unknown", "token"),
        ({"spent": "0"}, "member_unknown", "spent"),
    ],
)
def test_what_no_key_can_be_is_refused(
    shared: Coordinator, members: dict[str, Any], code: str, field: str
) -> None:
    refused(make(shared, **members), 400, code, field)
    assert shared.get(KEYS, key=shared.account_key)["api_keys"] == []


def test_a_key_for_an_account_nobody_trusts_is_refused(shared: Coordinator) -> None:
    refused(make(shared, account="acct_nobody"), 404, "unknown_account", "account")


@pytest.mark.parametrize(
    "token",
    ["hm_", "hm_short", "hm_" + "A" * 43, "hm_" + "A" * 44, "hm_" + "=" * 43, "hm_" + "A" * 5_000],
)
def test_what_is_no_token_is_refused_and_not_repeated(shared: Coordinator, token: str) -> None:
    answer = with_key(shared, token, "/api/v1/jobs")
    refused(answer, 401, "invalid_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert len(token) < 8 or token not in answer.body.decode()


def test_a_key_without_the_scope_to_read_reads_nothing(coordinator: Coordinator) -> None:
    token = make(coordinator, scopes=["inference"]).json["token"]
    answer = with_key(coordinator, token, "/api/v1/jobs")
    refused(answer, 403, "scope_missing")
    assert "scope read" in answer.json["detail"]


def test_keys_outlive_the_process_and_end_with_their_accounts_trust(coordinator: Coordinator) -> None:
    friend = stranger(coordinator)
    token = make(coordinator, key=friend).json["token"]
    coordinator.stop(9)
    coordinator.start()
    assert with_key(coordinator, token, "/api/v1/jobs").status == 200
    coordinator.stop()
    coordinator.start()  # nothing is remembered of what was read
    body = json.dumps({"public_key": friend.public.base64}).encode()
    assert coordinator.ask("POST", "/api/v1/keys/revoke", body, admin=True).status == 200
    refused(with_key(coordinator, token, "/api/v1/jobs"), 401, "api_key_revoked")


def test_a_token_is_in_no_file_no_log_and_no_metric(tmp_path: Path) -> None:
    coordinator = Coordinator(tmp_path / "home", flags=("--log-level", "debug")).start()
    try:
        token = make(coordinator).json["token"]
        wrong = token[:-4] + "AAAA"
        assert with_key(coordinator, token, "/api/v1/jobs").status == 200
        answers = [
            with_key(coordinator, wrong, "/api/v1/jobs"),
            with_key(coordinator, token, "/api/v1/keys"),
            with_key(coordinator, token, "/api/v1/jobs/nothing"),
            with_key(coordinator, token, KEYS, "POST"),
            coordinator.ask("GET", f"/api/v1/jobs?api_key={token}"),
            coordinator.ask("GET", "/metrics", admin=True),
        ]
        process = coordinator.process
        assert process is not None
        listing = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        listing += Path(f"/proc/{process.pid}/environ").read_bytes()
        secrets = [token.encode(), token[3:].encode(), wrong.encode()]
        assert not [answer for answer in answers for secret in secrets if secret in answer.body]
        assert not [secret for secret in secrets if secret in listing]
    finally:
        coordinator.stop()
    for file in (path for path in coordinator.home.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret in content], file
    assert (coordinator.home / "stderr").stat().st_size > 0
