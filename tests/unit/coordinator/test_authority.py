"""The authority that machines have pinned stays what it is; the certificate under it is renewed in time."""

import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from hivemark.coordinator.authority import Certificates, ensure_certificates, now_utc
from hivemark.errors import InvalidError

NOW = now_utc()


def ensure(home: Path, *extra: str, days: float = 0) -> Certificates:
    return ensure_certificates(home, "127.0.0.1", extra, now=NOW + timedelta(days=days))


def test_only_its_owner_reads_the_keys(tmp_path: Path) -> None:
    ensure(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").glob("*.key")}
    assert modes == {"ca.key": 0o600, "server.key": 0o600}


def test_a_certificate_is_renewed_in_the_last_third_of_its_life(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    assert (first.renewed, ensure(tmp_path, days=260).renewed) == (True, False)
    later = ensure(tmp_path, days=270)
    assert later.renewed and later.expires > first.expires
    assert later.authority_sha256 == first.authority_sha256


def test_another_name_makes_another_certificate(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    assert ensure(tmp_path, "hive.example").renewed
    assert not ensure(tmp_path).renewed
    assert ensure(tmp_path).authority_sha256 == first.authority_sha256


def test_a_kill_between_key_and_certificate_is_repaired(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ensure(tmp_path / "other")
    ensure(tmp_path)
    (tmp_path / "other" / "tls" / "server.key").replace(tmp_path / "tls" / "server.key")
    assert ensure(tmp_path).renewed
    assert isinstance(ensure(tmp_path).context(), ssl.SSLContext)


def test_a_lost_server_key_is_made_anew(tmp_path: Path) -> None:
    ensure(tmp_path).key.unlink()
    assert ensure(tmp_path).renewed
    assert isinstance(ensure(tmp_path).context(), ssl.SSLContext)


def test_a_lost_authority_key_is_said_and_the_authority_stays(tmp_path: Path) -> None:
    before = ensure(tmp_path).authority.read_bytes()
    (tmp_path / "tls" / "ca.key").unlink()
    with pytest.raises(InvalidError) as refused:
        ensure(tmp_path)
    assert refused.value.code == "authority_unusable" and refused.value.hint
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_an_authority_key_that_is_none_is_said(tmp_path: Path, content: bytes) -> None:
    ensure(tmp_path)
    (tmp_path / "tls" / "ca.key").write_bytes(content)
    with pytest.raises(InvalidError) as refused:
        ensure(tmp_path)
    assert refused.value.code == "authority_unusable"


def test_an_expired_authority_is_said(tmp_path: Path) -> None:
    ensure(tmp_path)
    with pytest.raises(InvalidError) as refused:
        ensure(tmp_path, days=3_651)
    assert refused.value.code == "authority_expired"


def test_a_certificate_ends_with_its_authority(tmp_path: Path) -> None:
    ensure(tmp_path)
    late = ensure(tmp_path, days=3_640)
    assert late.expires < NOW + timedelta(days=3_651)
