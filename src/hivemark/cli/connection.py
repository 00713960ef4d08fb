"""Which coordinator this command talks to, and as whom."""

from hivemark.cli.home import Home
from hivemark.client.sdk import HivemarkClient
from hivemark.errors import NotFoundError
from hivemark.protocol.keyfile import load_private_key
from hivemark.protocol.keys import PrivateKey


def connect(home: Home, url: str | None) -> HivemarkClient:
    """A client for the coordinator of this home, signing as its account when there is a key."""
    return HivemarkClient(
        url or home.coordinator_url(), account_key=account_key_or_none(home), authority=home.authority
    )


def account_key(home: Home) -> PrivateKey:
    """The key that signs here; raises `NotFoundError` with advice when there is none yet."""
    key = account_key_or_none(home)
    if key is None:
        raise NotFoundError(
            f"there is no account key in {home.keys}", code="key_file_missing", hint="hivemark keys new"
        )
    return key


def account_key_or_none(home: Home) -> PrivateKey | None:
    """The key that signs here, if there is one; a key file that others may read is refused."""
    return load_private_key(home.account_key) if home.account_key.exists() else None
