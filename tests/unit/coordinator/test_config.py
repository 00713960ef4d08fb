"""Settings merge in one order, and an address that others reach needs TLS."""

from pathlib import Path

import pytest

from hivemark.coordinator.config import Settings, load_settings
from hivemark.errors import InvalidError


def load(home: Path, *, env: dict[str, str] | None = None, **flags: object) -> Settings:
    return load_settings(home, environment=env or {}, flags=flags)


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[coordinator]\nlisten = "127.0.0.1:1"\nregions = ["MOON"]\nheartbeat_s = 1\n[hive]\nother = 1\n'
    )
    env = {"HIVEMARK_LISTEN": "127.0.0.1:2", "HIVEMARK_HEARTBEAT_S": "2"}

    assert load(tmp_path).listen == "127.0.0.1:1"
    assert load(tmp_path, env=env).listen == "127.0.0.1:2"
    merged = load(tmp_path, env=env, listen="127.0.0.1:3", database_url=None)
    assert (merged.listen, merged.heartbeat_s, merged.regions) == ("127.0.0.1:3", 2.0, ("MOON",))


def test_bare_names_and_prefixed_names_are_read(tmp_path: Path) -> None:
    settings = load(tmp_path, env={"ADMIN_TOKENS": "one, two", "DATABASE_URL": "sqlite:///x", "PATH": "/bin"})
    assert [token.get_secret_value() for token in settings.admin_tokens] == ["one", "two"]
    assert settings.database == "sqlite:///x"
    assert load(tmp_path, env={"DATABASE_URL": "a", "HIVEMARK_DATABASE_URL": "b"}).database == "b"


def test_the_database_is_in_the_home_by_default(tmp_path: Path) -> None:
    assert load(tmp_path).database == f"sqlite:///{tmp_path}/hivemark.db"


def test_secrets_show_in_no_repr(tmp_path: Path) -> None:
    assert "hush" not in repr(load(tmp_path, env={"ADMIN_TOKENS": "hush"}))


@pytest.mark.parametrize(
    ("toml", "field"),
    [
        ("[coordinator]\nlissten = 1", "lissten"),
        ("[coordinator]\nheartbeat_s = -1", "heartbeat_s"),
        ('[coordinator]\ndefault_visibility = "secret"', "default_visibility"),
        ('coordinator = "x"', "coordinator"),
        ("[coordinator", None),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, toml: str, field: str | None) -> None:
    (tmp_path / "config.toml").write_text(toml)
    with pytest.raises(InvalidError) as caught:
        load(tmp_path)
    assert (caught.value.code, caught.value.field) == ("setting_invalid", field)


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "[::1]:80", "localhost:0", "127.9.9.9:1"])
def test_loopback_needs_no_tls(tmp_path: Path, listen: str) -> None:
    assert load(tmp_path, listen=listen).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:8090", "[::]:8090", "192.168.1.2:8090", "example.org:8090"])
def test_an_address_that_others_reach_is_refused_without_tls(tmp_path: Path, listen: str) -> None:
    with pytest.raises(InvalidError) as caught:
        load(tmp_path, listen=listen)
    assert caught.value.code == "tls_required"
    assert load(tmp_path, listen=listen, tls_certificate="c.pem", tls_key="k.pem").tls_key == Path("k.pem")


@pytest.mark.parametrize("listen", ["8090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", ":8090"])
def test_what_is_no_address_is_refused(tmp_path: Path, listen: str) -> None:
    with pytest.raises(InvalidError):
        load(tmp_path, listen=listen)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        load(tmp_path, tls_certificate="c.pem")
    assert caught.value.field == "tls_certificate"
