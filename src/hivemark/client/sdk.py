"""`HivemarkClient`: every call a client makes to a coordinator, one method each (docs: /openapi.json)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from hivemark.client.transport import Transport
from hivemark.client.views import (
    ApiKey,
    Execution,
    Health,
    Hive,
    Job,
    JobEventBody,
    JoinLink,
    MadeApiKey,
    Model,
    Page,
    Question,
    Submitted,
    TrustedKey,
    decode_answer,
)
from hivemark.errors import DeadlineError, HivemarkError, UnavailableError
from hivemark.protocol.keys import PrivateKey

RECONNECTS_MAX: Final = 30
RECONNECT_PAUSE_S: Final = 0.5
POLL_PAUSE_S: Final = 0.2
API_KEYS_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of a job's stream; `seq` is gapless from 1."""

    seq: int
    name: str
    body: JobEventBody


class HivemarkClient:
    """Talks to one coordinator; use it as an async context manager.

    `account_key` signs every request (and sees its own private jobs), `admin_token` stands in for it.
    Errors are the closed set of `hivemark.errors`, with the server's code, field and hint.
    """

    def __init__(
        self,
        base_url: str,
        *,
        account_key: PrivateKey | None = None,
        admin_token: str | None = None,
        authority: Path | None = None,
    ) -> None:
        """`authority`: the file of the certificate authority that vouches for an https address."""
        self._http = Transport(
            base_url, account_key=account_key, admin_token=admin_token, authority=authority
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @property
    def base_url(self) -> str:
        """The coordinator's address without a trailing slash."""
        return self._http.base_url

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, signed_spec: bytes, *, idempotency_key: str | None = None) -> Submitted:
        """Post a signed JobSpec; with an idempotency key the same bytes may be posted again safely."""
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        raw = await self._http.request("POST", "/api/v1/jobs", body=signed_spec, headers=headers)
        return decode_answer(raw, Submitted)

    async def job(self, job: str, *, executions: bool = False) -> Job:
        """A job by its id or by its spec's own id; `executions` brings every cell with it."""
        query = {"include": "executions"} if executions else None
        return decode_answer(await self._http.request("GET", f"/api/v1/jobs/{job}", query=query), Job)

    async def jobs(self, *, limit: int = 20, cursor: str | None = None) -> Page:
        """The newest jobs first; `next` of the page is the cursor of the following one."""
        return await self._page("/api/v1/jobs", limit=limit, cursor=cursor)

    async def cancel(self, job: str) -> Job:
        """Call off what has not finished; cells that are final stay as they are."""
        return decode_answer(await self._http.request("POST", f"/api/v1/jobs/{job}/cancel"), Job)

    async def events(self, job: str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Every event after `after`, live, through broken connections, until the job's final one.

        Raises `UnavailableError` after 30 connections in a row that brought nothing new.
        """
        seq, fruitless = after, 0
        while True:
            before = seq
            try:
                path = f"/api/v1/jobs/{job}/events"
                async for event in self._http.stream_events(path, last_event_id=str(seq) if seq else ""):
                    seq = int(event.id)
                    body = decode_answer(event.body.encode(), JobEventBody)
                    yield JobEvent(seq=seq, name=event.name, body=body)
                    if event.name in ("job_completed", "job_failed", "job_cancelled"):
                        return
            except (UnavailableError, DeadlineError):
                if fruitless >= RECONNECTS_MAX:
                    raise
            fruitless = 0 if seq > before else fruitless + 1
            if fruitless > RECONNECTS_MAX:
                raise UnavailableError(
                    f"the event stream of {job} ended {fruitless} times without news", code="events_fruitless"
                )
            await asyncio.sleep(RECONNECT_PAUSE_S)

    # ── executions and their evidence ────────────────────────────────────────────────────────────

    async def executions(self, *, job: str | None = None, limit: int = 20, cursor: str | None = None) -> Page:
        """The newest executions first, of one job or of all that are readable."""
        return await self._page("/api/v1/executions", limit=limit, cursor=cursor, job=job)

    async def execution(self, execution: str) -> Execution:
        return decode_answer(await self._http.request("GET", f"/api/v1/executions/{execution}"), Execution)

    async def receipt(self, execution: str) -> dict[str, Any]:
        """The deciding attempt's receipt and acceptance, as envelopes; not verified here."""
        return decode_answer(
            await self._http.request("GET", f"/api/v1/executions/{execution}/receipt"), dict[str, Any]
        )

    async def bundle(self, execution: str, *, wait_s: float = 0.0) -> bytes:
        """Everything needed to check one execution offline, as `hivemark verify` reads it.

        Waits up to `wait_s` for the log to cover the entry (code `not_yet_logged` until then).
        """
        path = f"/api/v1/executions/{execution}/bundle"
        waited_s = 0.0
        while True:
            try:
                return await self._http.request("GET", path)
            except HivemarkError as error:
                if error.code != "not_yet_logged" or waited_s >= wait_s:
                    raise
            await asyncio.sleep(POLL_PAUSE_S)
            waited_s += POLL_PAUSE_S

    def bundles(self, job: str) -> AsyncIterator[bytes]:
        """The bundles of all finished executions of a job that the log covers, one JSON text each."""
        return self._http.stream_lines(f"/api/v1/jobs/{job}/bundles")

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    async def questions(self) -> tuple[Question, ...]:
        return (await self._page("/api/v1/questions")).questions

    async def models(self) -> tuple[Model, ...]:
        return (await self._page("/api/v1/models")).models

    async def regions(self) -> tuple[dict[str, Any], ...]:
        return (await self._page("/api/v1/regions")).regions

    async def hives(self) -> tuple[Hive, ...]:
        return (await self._page("/api/v1/hives")).hives

    async def health(self) -> Health:
        """The coordinator's own cached probe; also when it answers 503, because the body says why."""
        return decode_answer(await self._http.request("GET", "/health"), Health)

    async def policy_text(self) -> str:
        """The policy as the network tells it: to be pinned only after its fingerprint was compared."""
        return (await self._http.request("GET", "/.well-known/hivemark-policy")).decode("utf-8")

    # ── administration ───────────────────────────────────────────────────────────────────────────

    async def join_link(self, *, ttl_s: int = 3600, local: bool = False, host: str | None = None) -> JoinLink:
        """A link with which one machine may enrol once within `ttl_s` seconds: another one, by TLS where the
        coordinator serves others, or with `local` this one; `host` is another name for its address."""
        asked = {"ttl_s": ttl_s, "local": local, **({"host": host} if host else {})}
        raw = await self._post("/api/v1/hives/join-links", asked)
        return decode_answer(raw, JoinLink)

    async def drain_hive(self, hive: str, *, on: bool) -> None:
        """Give a hive no more work, or work again."""
        await self._post(f"/api/v1/hives/{hive}/drain", {"on": on})

    async def revoke_hive(self, hive: str) -> None:
        """End a hive's membership; what it holds is leased to others, and the log says so."""
        await self._http.request("POST", f"/api/v1/hives/{hive}/revoke")

    async def keys(self) -> tuple[TrustedKey, ...]:
        return (await self._page("/api/v1/keys")).keys

    async def trust_key(self, public_key: str, *, key_id: str | None = None) -> TrustedKey:
        """Let the account of this key submit jobs."""
        body = {"public_key": public_key} if key_id is None else {"public_key": public_key, "key_id": key_id}
        return decode_answer(await self._post("/api/v1/keys", body), TrustedKey)

    # ── API keys ─────────────────────────────────────────────────────────────────────────────────

    async def make_api_key(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        budget: str | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        ttl_s: float | None = None,
    ) -> MadeApiKey:
        """A key for this account; its token is in this answer and nowhere else. `budget` in credits; a limit
        that is left out does not limit."""
        asked = {
            "name": name,
            "scopes": scopes,
            "models": models,
            "budget": budget,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "ttl_s": ttl_s,
        }
        body = {member: value for member, value in asked.items() if value is not None}
        return decode_answer(await self._post("/api/v1/api-keys", body), MadeApiKey)

    async def api_keys(self) -> tuple[ApiKey, ...]:
        """Every key of this account (an admin: of all), newest first, revoked ones included."""
        keys: list[ApiKey] = []
        cursor: str | None = None
        while True:
            page = await self._page("/api/v1/api-keys", limit=API_KEYS_PAGE, cursor=cursor)
            keys += page.api_keys
            if page.next is None:
                return tuple(keys)
            cursor = page.next

    async def revoke_api_key(self, key: str) -> ApiKey:
        """End a key for good; a second time changes nothing."""
        return decode_answer(await self._http.request("DELETE", f"/api/v1/api-keys/{key}"), ApiKey)

    async def _post(self, path: str, body: object) -> bytes:
        return await self._http.request(
            "POST", path, body=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
        )

    async def _page(self, path: str, **query: str | int | None) -> Page:
        told = {name: value for name, value in query.items() if value is not None}
        return decode_answer(await self._http.request("GET", path, query=told), Page)
