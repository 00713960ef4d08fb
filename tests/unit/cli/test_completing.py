"""Names are made by strangers, and shells evaluate what completion tells them."""

from types import SimpleNamespace

import pytest

from hivemark.cli import completing

HOSTILE = ("$(touch x)", "`x`", "a;b", "a b", "a'b", 'a"b', "a\\b", "-rf", "a\nb", "ünïcode", "a|b", "a)b")


def test_a_name_that_a_shell_would_act_on_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def offered(*_: object) -> tuple[str, ...]:
        return (*HOSTILE, "good-1.5_b/x@y+z")

    monkeypatch.setattr(completing, "_models", offered)
    context = SimpleNamespace(params={})
    assert completing.complete_model(context, "") == ["good-1.5_b/x@y+z"]
    assert completing.complete_model(context, "b") == []
