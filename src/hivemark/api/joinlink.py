"""The join link: the one line by which a machine finds and recognises a network (docs/spec/link 1).

`hivemark://HOST:PORT/join?t=<token>&k=<fingerprint>&n=<network>[&c=<fingerprint>|&tls=1]`: where the
coordinator is, a one-off token that admits one hive, and the fingerprints of the service key that has to
answer there and of the certificate authority that has to vouch for the connection.
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from hivemark.errors import ForbiddenError, InvalidError, UnverifiedError

SCHEME: Final = "hivemark"
LINK_CHARS_MAX: Final = 2_048
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,256}")
_NETWORK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MEMBERS: Final = ("t", "k", "n")


@dataclass(frozen=True, slots=True)
class JoinLink:
    """A parsed link. The token is a secret until it is spent: it never shows in `repr`."""

    host: str
    port: int
    token: str = field(repr=False)
    service_key_sha256: bytes
    network: str
    tls: bool = False
    authority_sha256: bytes | None = None
    """The coordinator's own certificate authority; None with `tls` means that the system's trust decides."""

    @property
    def base_url(self) -> str:
        """Where the coordinator's HTTP API stands."""
        return f"{'https' if self.tls else 'http'}://{_netloc(self.host, self.port)}"

    @property
    def fingerprint(self) -> str:
        """The service key's fingerprint as it is shown to people."""
        return show_fingerprint(self.service_key_sha256)

    def require_authority(self, der: bytes) -> None:
        """1.5: raises `UnverifiedError` unless this certificate is the authority the link was made for."""
        if hashlib.sha256(der).digest() != self.authority_sha256:
            raise UnverifiedError(
                "the coordinator shows another certificate authority than the join link names",
                code="authority_mismatch",
                hint="ask for a new join link over a channel you trust; the token of this one was not sent",
            )

    def require_service_key(self, raw: bytes) -> None:
        """1.4: raises `UnverifiedError` unless this is the key the link was made for."""
        if hashlib.sha256(raw).digest() != self.service_key_sha256:
            raise UnverifiedError(
                "the coordinator answered with another service key than the join link names",
                code="service_key_mismatch",
                hint="ask for a new join link over a channel you trust; do not go on with this one",
            )


def encode_join_link(link: JoinLink) -> str:
    """The one text form of a link."""
    members = {"t": link.token, "k": _encode_digest(link.service_key_sha256), "n": link.network}
    if link.authority_sha256 is not None:
        members["c"] = _encode_digest(link.authority_sha256)
    elif link.tls:
        members["tls"] = "1"
    return f"{SCHEME}://{_netloc(link.host, link.port)}/join?{urlencode(members)}"


def parse_join_link(text: str) -> JoinLink:
    """The strict inverse of `encode_join_link`; raises `InvalidError` with code `join_link_malformed`.

    Text around the link is a copying mistake that does no harm, so white space is cut off. A link that would
    send the token over the network in the clear raises `ForbiddenError` with code `tls_required` (1.3).
    """
    text = text.strip()
    if len(text) > LINK_CHARS_MAX:
        raise _malformed("it is too long")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        members = dict(parse_qsl(parts.query, strict_parsing=True, keep_blank_values=True, max_num_fields=8))
    except ValueError as error:
        raise _malformed(str(error)) from error
    if parts.scheme != SCHEME or parts.path != "/join" or not host or port is None:
        raise _malformed(f"expected {SCHEME}://HOST:PORT/join?…")
    for name in _MEMBERS:
        if name not in members:
            raise _malformed(f"member {name} is missing", field=name)
    link = JoinLink(
        host=host,
        port=port,
        token=_require(_TOKEN, members["t"], "t"),
        service_key_sha256=_decode_digest(members["k"], "k"),
        network=_require(_NETWORK, members["n"], "n"),
        tls="c" in members or members.get("tls") == "1",
        authority_sha256=_decode_digest(members["c"], "c") if "c" in members else None,
    )
    if encode_join_link(link) != text:
        raise _malformed("it is not in the form it is made in")
    require_private_transport(link.host, tls=link.tls)
    return link


def require_private_transport(host: str, *, tls: bool) -> None:
    """1.3: what is secret travels by TLS, or stays on this machine."""
    if not tls and not is_loopback(host):
        raise ForbiddenError(
            f"{host} is another machine and the link has no TLS",
            code="tls_required",
            hint="on the coordinator's machine: hivemark up --listen 0.0.0.0:8090, then a new join link",
        )


def is_loopback(host: str) -> bool:
    """Whether the host name can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def show_fingerprint(digest: bytes) -> str:
    """A SHA-256 as it is shown to people."""
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _require(pattern: re.Pattern[str], text: str, name: str) -> str:
    if pattern.fullmatch(text) is None:
        raise _malformed(f"member {name} has another form", field=name)
    return text


def _encode_digest(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _decode_digest(text: str, name: str) -> bytes:
    try:
        digest = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("the fingerprint is not base64url", field=name) from error
    if len(digest) != 32:
        raise _malformed("the fingerprint is not a SHA-256", field=name)
    return digest


def _malformed(reason: str, *, field: str | None = None) -> InvalidError:
    return InvalidError(
        f"this is no join link: {reason}",
        code="join_link_malformed",
        field=field,
        hint="`hivemark hives link` on the coordinator's machine prints one",
    )
