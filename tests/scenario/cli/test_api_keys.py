"""API keys as they are typed: `up` makes one, others are made, listed and revoked; no log has a token."""

import stat
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from .test_day_one import Machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    here = Machine(tmp_path_factory.mktemp("keys") / "home")
    (here.home).mkdir()
    (here.home / "config.toml").write_text('[coordinator]\nlog_level = "debug"\n')
    here.told = here.run("up", "--no-hive", "--listen", "127.0.0.1:0")  # type: ignore[attr-defined]
    yield here
    here.run("down")


def read_jobs(machine: Machine, token: str) -> int:
    url = machine.ask("api-keys", "env")["OPENAI_BASE_URL"].removesuffix("/v1") + "/api/v1/jobs"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_up_makes_a_key_and_prints_what_to_paste(machine: Machine) -> None:
    told: str = machine.told  # type: ignore[attr-defined]
    lines = machine.run("api-keys", "env").splitlines()
    assert [line for line in lines if f"  {line}" in told.splitlines()] == lines
    token = lines[1].removeprefix("export OPENAI_API_KEY=")
    file = machine.home / "api-key"
    assert file.read_text() == f"{token}\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_jobs(machine, token) == 200
    (key,) = machine.ask("api-keys", "ls")["api_keys"]
    assert (key["name"], key["budget"], key["expires_at"]) == ("default", None, None)
    assert key["last_used_at"] is not None and token.startswith(key["token_start"])


def test_a_second_up_makes_no_other_and_puts_no_token_into_a_pipe(machine: Machine) -> None:
    token = machine.ask("api-keys", "env")["OPENAI_API_KEY"]
    told = machine.run("up", "--no-hive")
    assert token not in told and 'eval "$(hivemark api-keys env)"' in told
    assert len(machine.ask("api-keys", "ls", "--all")["api_keys"]) == 1
    assert token not in str(machine.ask("up", "--no-hive"))


def test_a_key_is_made_with_limits_shown_and_revoked(machine: Machine) -> None:
    options = ["--name", "editor", "--budget", "5", "--rpm", "60", "--tpm", "10000", "--expires", "30d"]
    made = machine.ask("api-keys", "create", *options, "--scope", "read", "--model", "hivemark-tiny-a")
    assert read_jobs(machine, made["token"]) == 200
    table = machine.run("api-keys", "ls")
    for shown in (
        "editor",
        made["token_start"],
        "0 of 5",
        "60 requests/min",
        "10000 tokens/min",
        "hivemark-tiny-a",
    ):
        assert shown in table
    assert made["token"] not in table
    assert "revoked: " in machine.run("api-keys", "revoke", made["id"])
    assert read_jobs(machine, made["token"]) == 401
    assert made["id"] not in machine.run("api-keys", "ls")
    assert "revoked" in machine.run("api-keys", "ls", "--all")
    assert machine.ask("api-keys", "revoke", made["id"])["revoked_at"]


def test_what_is_typed_wrong_is_named(machine: Machine) -> None:
    assert "budget: " in machine.run("api-keys", "create", "--budget", "much", code=1)
    assert "inference, read" in machine.run("api-keys", "create", "--scope", "admin", code=1)
    assert "no duration" in machine.run("api-keys", "create", "--expires", "soon", code=2)
    assert "next: hivemark api-keys ls" in machine.run("api-keys", "revoke", "key_nothing", code=1)


def test_the_homes_key_can_be_replaced(machine: Machine) -> None:
    old = machine.ask("api-keys", "env")["OPENAI_API_KEY"]
    (first,) = [
        key for key in machine.ask("api-keys", "ls")["api_keys"] if old.startswith(key["token_start"])
    ]
    assert "--save" in machine.run("api-keys", "revoke", first["id"])
    assert "api_key_file_missing" in machine.run("api-keys", "env", code=1)
    made = machine.ask("api-keys", "create", "--save", "--name", "again")
    assert machine.ask("api-keys", "env")["OPENAI_API_KEY"] == made["token"]
    assert machine.ask("fsck")["problems"] == []


def test_no_token_is_in_any_file_but_the_homes(machine: Machine) -> None:
    shown = machine.ask("api-keys", "create", "--name", "gone")["token"]
    kept = machine.ask("api-keys", "env")["OPENAI_API_KEY"]
    for token in (shown, kept):
        assert read_jobs(machine, token) == 200
        assert read_jobs(machine, token[:-1] + "!") == 401
    files = [path for path in machine.home.rglob("*") if path.is_file()]
    holding = [path for path in files for token in (shown, kept) if token[3:].encode() in path.read_bytes()]
    assert holding == [machine.home / "api-key"]
    assert any(path.stat().st_size for path in (machine.home / "logs").iterdir())
