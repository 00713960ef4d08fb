"""The first start makes a network; every later one finds it; a start that was cut short is made again."""

import os
import stat
from pathlib import Path

import pytest

from hivemark.coordinator.bootstrap import lock_home, open_home, write_durably
from hivemark.coordinator.config import Settings
from hivemark.coordinator.service.access import Role, token_sha256
from hivemark.errors import ConflictError, ForbiddenError, InternalError
from hivemark.translog.policy import parse_policy

NOW_MS = 1_790_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_the_second_start_finds_what_the_first_made(settings: Settings) -> None:
    first = open_home(settings, now_ms=NOW_MS, random=os.urandom)
    second = open_home(settings, now_ms=NOW_MS + 1, random=os.urandom)

    assert first.first_start is not None
    assert second.first_start is None
    assert first.identity == second.identity
    assert first.tokens_sha256 == ((Role.ADMIN, token_sha256(first.first_start.admin_token)),)
    assert second.tokens_sha256 == first.tokens_sha256


def test_the_policy_on_disk_is_the_one_that_is_served(settings: Settings) -> None:
    home = open_home(settings, now_ms=NOW_MS, random=os.urandom)
    raw = (settings.home / "policy").read_bytes()
    assert raw.decode() == home.identity.policy
    policy = parse_policy(raw)
    assert policy.service_key == home.identity.service_key.public
    assert policy.logs[0].verifier.name == home.identity.origin


def test_no_secret_is_kept_in_the_clear_or_readable_by_others(settings: Settings) -> None:
    home = open_home(settings, now_ms=NOW_MS, random=os.urandom)
    assert home.first_start is not None
    for path in settings.home.rglob("*"):
        if path.is_file():
            assert home.first_start.admin_token.encode() not in path.read_bytes()
    for path in (settings.home / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert home.first_start.admin_token not in repr(home)


def test_a_first_start_that_was_cut_short_keeps_its_keys(settings: Settings) -> None:
    open_home(settings, now_ms=NOW_MS, random=os.urandom)
    keys = {path.name: path.read_bytes() for path in (settings.home / "keys").iterdir()}
    (settings.home / "network.json").unlink()

    again = open_home(settings, now_ms=NOW_MS, random=os.urandom)

    assert again.first_start is not None
    assert {path.name: path.read_bytes() for path in (settings.home / "keys").iterdir()} == keys


def test_a_lost_key_is_never_replaced(settings: Settings) -> None:
    open_home(settings, now_ms=NOW_MS, random=os.urandom)
    (settings.home / "keys" / "log.key").unlink()
    with pytest.raises(InternalError) as caught:
        open_home(settings, now_ms=NOW_MS, random=os.urandom)
    assert caught.value.code == "key_file_missing"
    assert not (settings.home / "keys" / "log.key").exists()


def test_an_exposed_key_is_refused(settings: Settings) -> None:
    open_home(settings, now_ms=NOW_MS, random=os.urandom)
    (settings.home / "keys" / "service.key").chmod(0o644)
    with pytest.raises(ForbiddenError) as caught:
        open_home(settings, now_ms=NOW_MS, random=os.urandom)
    assert caught.value.code == "key_file_exposed"


def test_a_home_runs_once(tmp_path: Path) -> None:
    with lock_home(tmp_path), pytest.raises(ConflictError) as caught, lock_home(tmp_path):
        pass
    assert caught.value.code == "home_in_use"
    with lock_home(tmp_path):
        pass


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
