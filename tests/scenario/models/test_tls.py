"""https: who does not prove who he is gets nothing, and nobody is led away from TLS."""

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import FILE, Desk
from .source import ModelServer, Reply, Script, serve_file

Serve = Callable[[Script], ModelServer]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[ModelServer, Path]]:
    """A server behind TLS, and the certificate to trust."""
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = ModelServer(serve_file(FILE), tls=context)
    yield server, cert
    server.close()


def test_a_certificate_that_is_trusted_is_enough(desk: Desk, secure: tuple[ModelServer, Path]) -> None:
    server, cert = secure
    desk.variables["SSL_CERT_FILE"] = str(cert)
    assert desk.pull(f"{server.url}/m.gguf")["size_bytes"] == len(FILE)


def test_one_that_is_not_gets_nothing(desk: Desk, secure: tuple[ModelServer, Path]) -> None:
    server, _ = secure
    refused = desk.refused(f"{server.url}/m.gguf")
    assert (refused["code"], server.requests) == ("certificate_invalid", [])


def test_a_redirect_from_https_to_http_is_refused_also_to_this_machine(
    desk: Desk, secure: tuple[ModelServer, Path], serve: Serve
) -> None:
    server, cert = secure
    plain = serve(serve_file(FILE))
    server.script = lambda request: Reply(302, {"Location": f"{plain.url}/m.gguf"})
    desk.variables["SSL_CERT_FILE"] = str(cert)
    assert desk.refused(f"{server.url}/m.gguf")["code"] == "redirect_insecure"
    assert plain.requests == [] and desk.names() == []
