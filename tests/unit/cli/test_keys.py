"""Keys are made once, closed to others, and sign what `hivemark` accepts."""

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization


def test_a_new_key_is_closed_to_others_and_never_overwritten(run, tmp_path: Path) -> None:
    made = json.loads(run("keys", "new", "--json").out)
    path = Path(made["path"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert json.loads(path.read_bytes())["public_key"] == made["public_key"]
    again = run("keys", "new")
    assert (again.code, "never overwritten" in again.err) == (1, True)
    assert json.loads(run("keys", "show", "--json").out)["public_key"] == made["public_key"]


def test_a_key_in_pem_is_closed_too_and_taken_wherever_a_key_is(run, tmp_path: Path) -> None:
    pem, spec = tmp_path / "auditor.pem", tmp_path / "job.json"
    made = json.loads(run("keys", "new", "--format", "pem", "-o", str(pem), "--json").out)
    assert stat.S_IMODE(pem.stat().st_mode) == 0o400
    loaded = serialization.load_pem_private_key(pem.read_bytes(), password=None)
    assert base64.b64encode(loaded.public_key().public_bytes_raw()).decode() == made["public_key"]
    assert "never overwritten" in run("keys", "new", "--format", "pem", "-o", str(pem)).err
    assert json.loads(run("keys", "show", "-k", str(pem), "--json").out) == made
    spec.write_text(json.dumps({"id": "x", "benchmark": "noop"}), encoding="utf-8")
    signed = json.loads(run("keys", "sign", str(spec), "-k", str(pem), "--json").out)
    assert signed["public_key"] == made["public_key"]


@pytest.mark.parametrize("form", ["json", "pem"])
def test_the_fingerprint_of_a_homes_key_is_shown_in_either_form(run, form: str) -> None:
    made = json.loads(run("keys", "new", "--format", form, "--json").out)
    raw = Path(made["path"]).read_bytes()
    assert raw.startswith(b"-----BEGIN PRIVATE KEY-----") == (form == "pem")
    assert made["fingerprint"] in run("keys", "show").out


def test_showing_a_key_never_shows_its_secret(run) -> None:
    path = Path(json.loads(run("keys", "new", "--json").out)["path"])
    secret = json.loads(path.read_bytes())["private_key"]
    told = run("keys", "show")
    assert secret not in told.out + told.err


def test_an_exposed_key_is_refused_with_advice(run) -> None:
    path = Path(json.loads(run("keys", "new", "--json").out)["path"])
    path.chmod(0o644)
    outcome = run("keys", "show")
    assert outcome.code == 1
    assert "key_file_exposed" in outcome.err
    assert f"next: chmod 0600 {path}" in outcome.err


def test_a_spec_is_signed_checked_and_refused_after_a_change(run, tmp_path: Path) -> None:
    run("keys", "new")
    spec, signed = tmp_path / "job.json", tmp_path / "job.signed.json"
    spec.write_text(json.dumps({"id": "x", "benchmark": "noop"}), encoding="utf-8")
    assert run("keys", "sign", str(spec), "-o", str(signed)).code == 0
    assert run("keys", "verify", str(signed)).code == 0
    signed.write_text(signed.read_text(encoding="utf-8").replace('"x"', '"y"'), encoding="utf-8")
    outcome = run("keys", "verify", str(signed))
    assert (outcome.code, "signature_invalid" in outcome.err) == (3, True)


def test_what_would_be_refused_is_not_signed(run, tmp_path: Path) -> None:
    run("keys", "new")
    spec = tmp_path / "job.json"
    spec.write_text('{"id": "x", "benchmark": "noop", "colour": "red"}', encoding="utf-8")
    outcome = run("keys", "sign", str(spec))
    assert (outcome.code, outcome.out) == (1, "")
    assert "colour" in outcome.err
