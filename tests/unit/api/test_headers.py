"""The account signature: made for one request, by one key, for one minute."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.api.headers import WINDOW_MS, sign_request, verify_request
from hivemark.errors import HivemarkError, InvalidError
from hivemark.protocol.keys import PrivateKey

KEY = PrivateKey.from_seed(b"\7" * 32)
NOW_MS = 1_790_000_000_000
ASKED: dict[str, Any] = {"method": "POST", "target": "/api/v1/jobs?x=1", "body": b"{}"}


def credential(**changes: Any) -> str:
    how = {**ASKED, "now_ms": NOW_MS, "random": lambda count: b"\5" * count, **changes}
    scheme, _, text = sign_request(KEY, **how).partition(" ")
    assert scheme == "Hivemark"
    return text


def verify(text: str, **changes: Any) -> Any:
    return verify_request(text, **{**ASKED, "now_ms": NOW_MS, **changes})


def code_of(text: str, **changes: Any) -> str:
    with pytest.raises(HivemarkError) as caught:
        verify(text, **changes)
    return caught.value.code


def test_what_was_signed_is_verified() -> None:
    signed = verify(credential())
    assert signed.public_key == KEY.public
    assert signed.until_ms == NOW_MS + WINDOW_MS


@pytest.mark.parametrize(
    "changes", [{"method": "PUT"}, {"target": "/api/v1/jobs"}, {"target": "/api/v1/jobs?x=2"}, {"body": b""}]
)
def test_it_serves_no_other_request(changes: dict[str, Any]) -> None:
    assert code_of(credential(), **changes) == "signature_mismatch"


@pytest.mark.parametrize("shift_ms", [WINDOW_MS + 1, -WINDOW_MS - 1])
def test_it_serves_for_a_minute_alone(shift_ms: int) -> None:
    assert code_of(credential(), now_ms=NOW_MS + shift_ms) == "signature_expired"
    assert verify(credential(), now_ms=NOW_MS + shift_ms - (1 if shift_ms > 0 else -1))


@pytest.mark.parametrize("member", ["method", "target", "nonce", "timestamp", "public_key"])
def test_every_member_is_signed(member: str) -> None:
    value = json.loads(base64.urlsafe_b64decode(credential() + "=="))
    changed = {
        "method": "GET",
        "target": "/",
        "nonce": "n" * 24,
        "timestamp": value["timestamp"].replace("00Z", "01Z"),
        "public_key": PrivateKey.from_seed(b"\1" * 32).public.base64,
    }[member]
    asked = {member: changed} if member in ASKED else {}
    text = base64.urlsafe_b64encode(json.dumps({**value, member: changed}).encode()).decode().rstrip("=")
    assert changed != value[member]
    assert code_of(text, **asked) == "signature_invalid"


@given(st.text(max_size=200))
def test_garbage_is_refused_and_nothing_else_is_raised(text: str) -> None:
    with pytest.raises(InvalidError):
        verify(text)


def test_a_long_credential_is_not_read() -> None:
    assert code_of("A" * 10_000) == "credential_malformed"
