"""The certificate authority of one home, and the certificate by which its coordinator is known to others.

People pin the authority, by the fingerprint in a join link; the server's certificate is made anew from it
whenever it needs other names or has less than a third of its life left (docs/adr/0005).
"""

import hashlib
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hivemark.errors import InvalidError

FOLDER: Final = "tls"
AUTHORITY_DAYS: Final = 3_650
SERVER_DAYS: Final = 397
_BACKDATED: Final = timedelta(minutes=5)
"""Machines whose clocks run behind shall not wait for a certificate to become valid."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for the listener, and the authority that people pin."""

    certificate: Path
    key: Path
    authority: Path
    authority_sha256: bytes
    expires: datetime
    renewed: bool
    """Whether the server's certificate was made by this call."""

    def context(self) -> ssl.SSLContext:
        """For a server; raises `InvalidError` when the files do not belong together."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidError(f"{self.certificate} cannot be used: {error}", code="tls_unusable") from error
        return context


def ensure_certificates(home: Path, host: str, extra: tuple[str, ...], *, now: datetime) -> Certificates:
    """The certificates of this home for a listener on `host`; made or renewed where they have to be."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    authority, authority_key = _ensure_authority(folder, now)
    names = names_for(host, extra)
    paths = folder / "server.pem", folder / "server.key"
    current = _load(paths[0])
    renewed = (
        current is None or not _is_pair(current, paths[1]) or not _is_good(current, authority, names, now)
    )
    if renewed:
        current = _make_server(folder, authority, authority_key, names, now)
    assert current is not None
    der = authority.public_bytes(serialization.Encoding.DER)
    return Certificates(
        certificate=paths[0],
        key=paths[1],
        authority=folder / "ca.pem",
        authority_sha256=hashlib.sha256(der).digest(),
        expires=current.not_valid_after_utc,
        renewed=renewed,
    )


def names_for(host: str, extra: tuple[str, ...]) -> tuple[str, ...]:
    """Under which names and addresses a listener on `host` is reached, as far as this machine knows."""
    names = {host, *extra, "localhost", "127.0.0.1", "::1", socket.gethostname()}
    if is_wildcard(host):
        names |= set(addresses())
    return tuple(sorted(name for name in names if name and not is_wildcard(name)))


def addresses() -> tuple[str, ...]:
    """The addresses of this machine that others may use."""
    found = []
    for listed in psutil.net_if_addrs().values():
        for each in listed:
            if each.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            address = ipaddress.ip_address(each.address.partition("%")[0])
            if not (address.is_loopback or address.is_link_local):
                found.append(str(address))
    return tuple(sorted(found))


def is_wildcard(host: str) -> bool:
    """Whether a listener on `host` takes connections to every address."""
    return host in ("0.0.0.0", "::", "")


def _ensure_authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path, key_path = folder / "ca.pem", folder / "ca.key"
    known = _load(path)
    if known is not None:
        _require_usable(known, path, now)
        return known, _load_authority_key(key_path, known)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hivemark network authority")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(key_path, _pem_of(key))
    _write(path, made.public_bytes(serialization.Encoding.PEM))
    return made, key


def _require_usable(authority: x509.Certificate, path: Path, now: datetime) -> None:
    if authority.not_valid_after_utc <= now:
        raise InvalidError(
            f"the certificate authority in {path} has expired",
            code="authority_expired",
            hint=f"remove {path.parent}: it is made anew, and every machine joins again with a new link",
        )


def _load_authority_key(path: Path, authority: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    """Never made anew for an authority that machines may have pinned: they would all be shut out unasked."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _key_unusable(path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
        raise _key_unusable(path)
    return key


def _key_unusable(path: Path) -> InvalidError:
    return InvalidError(
        f"{path} is missing, or is not the key of {path.with_suffix('.pem').name}",
        code="authority_unusable",
        hint=f"restore {path.parent} from a backup, or remove it: then every machine joins again",
    )


def _make_server(
    folder: Path,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    now: datetime,
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hivemark coordinator")])
    until = min(now + timedelta(days=SERVER_DAYS), authority.not_valid_after_utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .add_extension(_usage(signs_certificates=False), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    _write(folder / "server.key", _pem_of(key))
    chain = made.public_bytes(serialization.Encoding.PEM) + authority.public_bytes(serialization.Encoding.PEM)
    _write(folder / "server.pem", chain)
    return made


def _is_good(
    known: x509.Certificate, authority: x509.Certificate, names: tuple[str, ...], now: datetime
) -> bool:
    """Of this authority, for all these names, and with a third of its life left."""
    life = known.not_valid_after_utc - known.not_valid_before_utc
    has = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    listed = {str(name.value) for name in has}
    try:
        known.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return known.not_valid_after_utc - now > life / 3 and set(names) <= listed


def _is_pair(certificate: x509.Certificate, key_path: Path) -> bool:
    """Whether the key is there and is the certificate's: a kill between the two writes leaves them apart."""
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError):
        return False
    return key.public_key() == certificate.public_key()


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(path: Path) -> x509.Certificate | None:
    """The first certificate of a file; raises `InvalidError` for a file that holds none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidError(
            f"{path} holds no certificate",
            code="tls_unusable",
            hint=f"remove {path.name} and its key: they are made anew, and hives join again if it was ca.pem",
        ) from error


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, for its owner alone."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def now_utc() -> datetime:
    """The clock that certificates are held against."""
    return datetime.now(UTC)
