"""Joining a network by a join link: a key made, a message signed, the service key pinned (spec/link 1)."""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from hivemark.api.certificates import AUTHORITY_NAME
from hivemark.api.handshake import sign_enrol
from hivemark.api.joinlink import JoinLink
from hivemark.api.link import ENROL_PATH, Enrol, Enrolled
from hivemark.api.status import ERROR_OF_KIND, KIND_OF_STATUS
from hivemark.errors import (
    BadUpstreamError,
    ConflictError,
    HivemarkError,
    Kind,
    NotFoundError,
    UnavailableError,
    UnverifiedError,
)
from hivemark.hive.authority import context_of, fetch_authority, refusal_of
from hivemark.hive.config import FILE_NAME, KEY_NAME, Coordinator, Hive, Worker, encode_config, parse_config
from hivemark.protocol.ids import hive_id
from hivemark.protocol.keyfile import load_private_key, save_private_key
from hivemark.protocol.keys import PrivateKey, PublicKey
from hivemark.protocol.times import format_ms

POLICY_NAME: Final = "policy"
_ANY_KEY: Final = "A" * 43 + "="
ANSWER_BYTES_MAX: Final = 262_144
TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)


def enrol(
    home: Path,
    link: JoinLink,
    *,
    name: str,
    region: str | None = None,
    slots: int = 1,
    threads: int = 0,
    simulated: tuple[str, ...] = (),
    worker: Worker | None = None,
    now_ms: int | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> Enrolled:
    """Make `home` a hive of the link's network; afterwards `python -m hivemark.hive --home HOME` runs it.

    Not to be called on an event loop. The key is made first and kept when the rest fails: the same link and
    home may be tried again. Raises `ConflictError` with code `hive_joined_already`, `UnverifiedError` when
    another service answers than the link names, and whatever the coordinator answers.
    """
    hive = Hive(name=name, region=region, slots=slots, threads=threads, simulated=simulated)
    parse_config(_config(link, hive, worker, _ANY_KEY), home=home)  # refuse what would not start later
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (home / FILE_NAME).exists():
        raise ConflictError(
            f"{home} has joined a network already",
            code="hive_joined_already",
            hint="choose another --home, or remove this one if the hive is no longer wanted",
        )
    at_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    key = _ensure_key(home / KEY_NAME, now_ms=at_ms, random=random)
    unsigned = Enrol(
        token=link.token,
        hive=hive_id(key.public.raw),
        public_key=key.public.base64,
        name=hive.name,
        region=hive.region,
        signature="",
    )
    if link.authority_sha256 is not None:  # 1.5, before the token goes anywhere
        _write(home / AUTHORITY_NAME, asyncio.run(fetch_authority(link)))
    enrolled = asyncio.run(
        _post(link.base_url + ENROL_PATH, sign_enrol(unsigned, key), context=context_of(home))
    )
    service_key = _require_named(enrolled, link, hive=unsigned.hive)
    _write(home / POLICY_NAME, enrolled.policy.encode("utf-8"))
    # Last: its presence means that the hive has joined.
    _write(home / FILE_NAME, _config(link, hive, worker, service_key.base64))
    return enrolled


def _config(link: JoinLink, hive: Hive, worker: Worker | None, service_key: str) -> bytes:
    coordinator = Coordinator(url=link.base_url, network=link.network, service_key=service_key)
    return encode_config(coordinator, hive, worker=worker)


def _require_named(enrolled: Enrolled, link: JoinLink, *, hive: str) -> PublicKey:
    """1.6: the service, the network and the hive are those that were meant."""
    service_key = PublicKey.from_base64(enrolled.service_key, field="service_key")
    link.require_service_key(service_key.raw)
    if enrolled.network != link.network or enrolled.hive != hive:
        raise UnverifiedError("the answer is for another network or hive", code="network_mismatch")
    return service_key


def _ensure_key(path: Path, *, now_ms: int, random: Callable[[int], bytes]) -> PrivateKey:
    try:
        return load_private_key(path)
    except NotFoundError:
        key = PrivateKey.generate(random)
        save_private_key(path, key, created=format_ms(now_ms), owner_id=hive_id(key.public.raw))
        return key


async def _post(url: str, enrol: Enrol, *, context: ssl.SSLContext | None) -> Enrolled:
    headers = {"Content-Type": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as http,
            http.post(
                url,
                data=msgspec.json.encode(enrol),
                headers=headers,
                allow_redirects=False,
                ssl=context or True,
            ) as response,
        ):
            raw = await response.content.read(ANSWER_BYTES_MAX)
            status = response.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        if (refusal := refusal_of(error)) is not None:
            raise refusal from error
        raise UnavailableError(
            f"the coordinator does not answer: {type(error).__name__}",
            code="coordinator_unreachable",
            hint="is the address in the link right, and is the coordinator running?",
        ) from error
    if status not in (200, 201):
        raise _problem(status, raw)
    try:
        return msgspec.json.decode(raw, type=Enrolled)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadUpstreamError(f"the answer is malformed: {error}", code="answer_malformed") from error


class _Problem(msgspec.Struct):
    detail: str = ""
    title: str = ""
    code: str = ""
    hint: str | None = None


def _problem(status: int, raw: bytes) -> HivemarkError:
    error = ERROR_OF_KIND[KIND_OF_STATUS.get(status, Kind.BAD_UPSTREAM)]
    try:
        problem = msgspec.json.decode(raw, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    message = problem.detail or problem.title or f"the coordinator answered {status}"
    return error(message, code=problem.code or f"status_{status}", hint=problem.hint)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, durable, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
