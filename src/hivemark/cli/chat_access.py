"""With which address and which key a chat goes on its way."""

import os
import stat
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hivemark.api.joinlink import require_private_transport
from hivemark.cli.connection import account_key_or_none
from hivemark.cli.home import Home
from hivemark.client.sdk import HivemarkClient
from hivemark.client.transport import require_base_url
from hivemark.errors import ForbiddenError

KEY_VARIABLE = "HIVEMARK_API_KEY"


@dataclass(frozen=True, slots=True)
class Access:
    """`api_key` is a secret; None where there is none to send."""

    url: str
    api_key: str | None = field(repr=False)


def find_access(home: Home, url: str | None) -> Access:
    """The key in the environment, or the one of this home, which is sent to this home's coordinator alone.

    Raises `ForbiddenError` for a key file that others may read, and for a key that would travel in the clear.
    """
    own = require_base_url(home.coordinator_url())
    address = own if url is None else require_base_url(url.rstrip("/").removesuffix("/v1"))
    key = os.environ.get(KEY_VARIABLE) or (_read_key(home) if address == own else None)
    if key is not None:
        parts = urlsplit(address)
        require_private_transport(parts.hostname or "", tls=parts.scheme == "https")
    return Access(address, key)


def evidence_client(home: Home, access: Access) -> HivemarkClient:
    """For receipts: as the API key's account, else as the account that signs here."""
    if access.api_key is not None:
        return HivemarkClient(access.url, admin_token=access.api_key)
    return HivemarkClient(access.url, account_key=account_key_or_none(home))


def _read_key(home: Home) -> str | None:
    try:
        with home.api_key.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4_096).strip()
    except FileNotFoundError:
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ForbiddenError(
            f"the API key in {home.api_key} may be read by others",
            code="key_file_exposed",
            hint=f"chmod 0600 {home.api_key}; if others could have read it, revoke it and make a new one",
        )
    return text or None
