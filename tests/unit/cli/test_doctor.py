"""The doctor finds what is broken and says what to do."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from hivemark.cli import doctor


def findings(outcome) -> dict[str, dict[str, str | None]]:
    return {each["name"]: each for each in json.loads(outcome.out)["findings"]}


def test_a_fresh_machine_has_nothing_to_mend(run) -> None:
    outcome = run("doctor", "--json")
    assert outcome.code == 0
    found = findings(outcome)
    assert found["python"]["level"] == "ok"
    assert found["coordinator"] == {
        "name": "coordinator",
        "level": "warn",
        "detail": "nothing runs at http://127.0.0.1:9",
        "advice": "hivemark up",
    }


def test_an_exposed_key_fails(run, tmp_path: Path) -> None:
    run("keys", "new")
    key = tmp_path / "home" / "keys" / "auditor.key"
    key.write_text("secret", encoding="utf-8")
    key.chmod(0o640)
    outcome = run("doctor", "--json")
    assert outcome.code == 1
    assert findings(outcome)["keys"]["advice"] == f"chmod 0400 {key}"


def test_a_changed_model_fails(run, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = replace(doctor.shipped()[0], weights_sha256="0" * 64)
    monkeypatch.setattr(doctor, "shipped", lambda: (changed,))
    outcome = run("doctor", "--json")
    assert outcome.code == 1
    assert "install hivemark again" in str(findings(outcome)["models"]["advice"])


@pytest.mark.parametrize(("free", "level"), [(10**6, "fail"), (10**9, "warn"), (10**11, "ok")])
def test_a_full_disk_is_told(run, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    usage = doctor.shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path: usage)
    assert findings(run("doctor", "--json"))["disk"]["level"] == level


def test_a_port_that_somebody_else_holds_is_told(run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # bound and silent: nothing answers there
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        outcome = run("doctor", "--json", "--url", url)
    assert outcome.code == 1
    assert findings(outcome)["port"]["level"] == "fail"


def test_people_see_marks_and_advice(run) -> None:
    outcome = run("doctor")
    assert "✓ python" in outcome.out
    assert "next: hivemark up" in outcome.out
