"""What the messages of the link refuse by their form alone."""

import msgspec
import pytest

from hivemark.api.link import Declined


@pytest.mark.parametrize("code", ["", "Busy", "busy\n", "a" * 49, "\x1b[2J", "no slot"])
def test_a_decline_has_a_code_that_can_be_shown(code: str) -> None:
    raw = msgspec.json.encode(
        {"type": "declined", "attempt": "att_1", "lease_version": 1, "code": code, "message": ""}
    )
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=Declined)
