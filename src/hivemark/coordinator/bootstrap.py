"""The first start, and every later one: keys, network, policy and the first admin token of a home.

`network.json` is written last: a home without it has not started yet and keeps the keys it already has.
"""

import base64
import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from hivemark.coordinator.config import Settings
from hivemark.coordinator.ports import Store, TrustedKey
from hivemark.coordinator.service.access import Role, token_sha256
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.credits.price import MICRO_PER_CREDIT
from hivemark.errors import ConflictError, InternalError
from hivemark.protocol.ids import account_id
from hivemark.protocol.keyfile import load_private_key, save_private_key
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.shape import Name, Sha256, Shape, to_shape
from hivemark.protocol.strictjson import parse_json_object
from hivemark.protocol.times import format_ms, parse_ms
from hivemark.translog.note import NoteSigner
from hivemark.translog.policy import Log, Policy, encode_policy

NETWORK_FILE: Final = "network.json"
POLICY_FILE: Final = "policy"
SERVICE_KEY: Final = "service.key"
LOG_KEY: Final = "log.key"
ACCOUNT_KEY: Final = "account.key"
_TOKEN_BYTES: Final = 32


class _Network(Shape, frozen=True, kw_only=True):
    network: Name
    origin: Name
    created: str
    admin_token_sha256: Sha256
    version: Annotated[int, Meta(ge=1, le=1)] = 1


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What is shown once: the token is kept as a digest only."""

    admin_token: str = field(repr=False)
    account: str
    account_key: Path
    policy: Path
    policy_fingerprint: str


@dataclass(frozen=True, slots=True)
class Home:
    """A home that is ready to run."""

    path: Path
    identity: Identity
    account_key: PublicKey
    tokens_sha256: tuple[tuple[Role, str], ...]
    first_start: FirstStart | None


def open_home(settings: Settings, *, now_ms: int, random: Random) -> Home:
    """Make what is missing; raises what `load_private_key` raises for keys that may not be used."""
    home = settings.home
    keys = home / "keys"
    for folder in (home, keys):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    started = (home / NETWORK_FILE).exists()
    service_key, log_key, account_key = (
        _ensure_key(keys / name, must_exist=started, now_ms=now_ms, random=random)
        for name in (SERVICE_KEY, LOG_KEY, ACCOUNT_KEY)
    )
    admin_token = None
    if not started:
        admin_token = base64.urlsafe_b64encode(random(_TOKEN_BYTES)).decode("ascii").rstrip("=")
        _start_network(home, service_key, log_key, admin_token, now_ms=now_ms, random=random)
    network = to_shape(parse_json_object((home / NETWORK_FILE).read_bytes()), _Network)
    policy = _policy(network, service_key, log_key)
    account = account_id(account_key.public.raw)
    identity = Identity(
        network=network.network,
        origin=network.origin,
        operator=account,
        policy=encode_policy(policy).decode(),
        service_key=service_key,
        log_key=log_key,
    )
    first_start = (
        FirstStart(
            admin_token=admin_token,
            account=account,
            account_key=keys / ACCOUNT_KEY,
            policy=home / POLICY_FILE,
            policy_fingerprint=policy.fingerprint,
        )
        if admin_token is not None
        else None
    )
    return Home(
        path=home,
        identity=identity,
        account_key=account_key.public,
        tokens_sha256=((Role.ADMIN, network.admin_token_sha256), *_configured_tokens(settings)),
        first_start=first_start,
    )


@contextlib.contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Hold the home alone; raises `ConflictError` `home_in_use`. The lock ends with the process."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / ".coordinator.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"another coordinator runs on {home}",
                code="home_in_use",
                hint="see `hivemark status`, or choose another HIVEMARK_HOME",
            ) from error
        yield


def trust_first_keys(home: Home, store: Store, settings: Settings, *, now_ms: int) -> None:
    """Trust the home's account and the keys of the settings; what was revoked since stays revoked."""
    configured = [
        PublicKey.from_base64(text, field=f"trusted_keys[{index}]")
        for index, text in enumerate(settings.trusted_keys)
    ]
    for name, key in [("home", home.account_key), *(("settings", key) for key in configured)]:
        if store.trusted_key(key.base64) is None:
            store.trust(
                TrustedKey(
                    public_key=key.base64,
                    account=account_id(key.raw),
                    key_id=name,
                    status="active",
                    added_ms=now_ms,
                ),
                grant_micro=settings.grant_credits * MICRO_PER_CREDIT,
            )


def close_stale_sessions(store: Store, *, now_ms: int) -> None:
    """No link survives the process that held it: after a kill the rows still say `linked`."""
    for hive in store.hives():
        if hive.linked:
            store.close_session(hive.id, epoch=hive.epoch, now_ms=now_ms)


def write_durably(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a small file whole: after a crash it is the old one or the new one."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _ensure_key(path: Path, *, must_exist: bool, now_ms: int, random: Random) -> PrivateKey:
    if not path.exists():
        if must_exist:
            raise InternalError(
                f"{path} is missing from a home that has started before",
                code="key_file_missing",
                hint="restore it from a backup; a new key would be another network",
            )
        save_private_key(path, PrivateKey.generate(random), created=format_ms(now_ms))
    return load_private_key(path)


def _start_network(
    home: Path,
    service_key: PrivateKey,
    log_key: PrivateKey,
    admin_token: str,
    *,
    now_ms: int,
    random: Random,
) -> None:
    name = f"home-{base64.b32encode(random(5)).decode('ascii').lower()}"
    created = format_ms(now_ms)
    network = _Network(
        network=name,
        origin=f"hivemark.dev/log/{name}/{created[:4]}",
        created=created,
        admin_token_sha256=token_sha256(admin_token),
    )
    write_durably(home / POLICY_FILE, encode_policy(_policy(network, service_key, log_key)), mode=0o644)
    text = json.dumps(msgspec.to_builtins(network), indent=2)
    write_durably(home / NETWORK_FILE, text.encode() + b"\n")


def _policy(network: _Network, service_key: PrivateKey, log_key: PrivateKey) -> Policy:
    """A home network's policy: its own log, no witnesses."""
    parse_ms(network.created, field="created")
    log = Log(verifier=NoteSigner(network.origin, log_key).verifier)
    return Policy(network=network.network, service_key=service_key.public, logs=(log,))


def _configured_tokens(settings: Settings) -> list[tuple[Role, str]]:
    return [
        (role, token_sha256(token.get_secret_value()))
        for role, tokens in (
            (Role.ADMIN, settings.admin_tokens),
            (Role.OPERATOR, settings.operator_tokens),
            (Role.VIEWER, settings.viewer_tokens),
        )
        for token in tokens
    ]
