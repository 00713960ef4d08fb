"""What is pinned is the certificate that was compared, whatever else a stranger sends with it."""

import hashlib
import ssl
from pathlib import Path

import pytest

from hivemark.api.certificates import pinned_context
from hivemark.api.joinlink import JoinLink
from hivemark.coordinator.authority import ensure_certificates, now_utc
from hivemark.errors import UnverifiedError
from hivemark.hive.authority import named_authority


def authority(home: Path) -> bytes:
    home.mkdir(parents=True)
    return ensure_certificates(home, "127.0.0.1", (), now=now_utc()).authority.read_bytes()


def link_of(pem: bytes) -> JoinLink:
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    return JoinLink("127.0.0.1", 1, "t" * 32, bytes(32), "n", True, hashlib.sha256(der).digest())


def padded_authority(root: Path) -> bytes:
    """One whose Base64 ends in padding, after which a lenient decoder stops reading."""
    made = (authority(root / str(number)) for number in range(200))
    return next(pem for pem in made if b"=\n-----END" in pem)


def test_a_second_authority_behind_the_right_one_is_not_trusted(tmp_path: Path) -> None:
    right, impostors = padded_authority(tmp_path), authority(tmp_path / "impostor")
    kept = named_authority(link_of(right), right + impostors)
    assert kept == right
    (tmp_path / "ca.pem").write_bytes(kept)
    assert len(pinned_context(tmp_path / "ca.pem").get_ca_certs()) == 1


def test_an_impostors_authority_before_the_right_one_is_refused(tmp_path: Path) -> None:
    right, impostors = authority(tmp_path / "right"), authority(tmp_path / "impostor")
    with pytest.raises(UnverifiedError) as refused:
        named_authority(link_of(right), impostors + right)
    assert refused.value.code == "authority_mismatch"


@pytest.mark.parametrize("answer", [b"", b"<html>", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----"])
def test_what_is_no_certificate_is_refused(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(UnverifiedError) as refused:
        named_authority(link_of(authority(tmp_path / "right")), answer)
    assert refused.value.code == "authority_mismatch"
