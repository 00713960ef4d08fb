"""What a coordinator answers, as far as a client reads it; members that are not named here are left alone.

A newer coordinator may answer more than this client knows: unlike signed data, answers are read leniently,
and an answer that lacks what is named here is a `BadUpstreamError` that says which member.
"""

from typing import Any, TypeVar

import msgspec

from hivemark.errors import BadUpstreamError

Answer = TypeVar("Answer")


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the answers; digests are lower-case hex, times RFC 3339, credits decimal text."""


class Submitted(View, frozen=True, kw_only=True):
    id: str
    status: str
    spec_id: str
    executions: int
    held: str


class Progress(View, frozen=True, kw_only=True):
    cells: int
    queued: int
    leased: int
    running: int
    completed: int
    failed: int
    dead: int
    cancelled: int


class Credits(View, frozen=True, kw_only=True):
    held: str
    settled: str


class RegionView(View, frozen=True, kw_only=True):
    claimed: str | None = None
    observed: str | None = None
    verified: bool = False
    level: str | None = None
    method: str | None = None


class QuestionRef(View, frozen=True, kw_only=True):
    id: str
    category: str | None = None


class ModelRef(View, frozen=True, kw_only=True):
    name: str
    weights_sha256: str | None = None


class Usage(View, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int


class Failure(View, frozen=True, kw_only=True):
    stage: str
    code: str
    message: str
    transient: bool


class Execution(View, frozen=True, kw_only=True):
    id: str
    job: str
    ordinal: int
    state: str
    attempts: int
    repeat: int
    question: QuestionRef | None = None
    persona: int | str | None = None
    model: ModelRef | None = None
    region: RegionView = RegionView()
    arm: int | str | None = None
    replica: int = 0
    hive: str | None = None
    output: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    failure: Failure | None = None
    duration_ms: float | None = None
    tokens_per_s: float | None = None
    receipt_sha256: str | None = None
    log_index: int | None = None
    simulated: tuple[str, ...] = ()


class Job(View, frozen=True, kw_only=True):
    id: str
    spec_id: str
    benchmark: str
    state: str
    visibility: str
    created_at: str
    progress: Progress
    credits: Credits
    spec_sha256: str
    started_at: str | None = None
    finished_at: str | None = None
    deadline_at: str | None = None
    waiting_for: tuple[str, ...] = ()
    told_executions: tuple[Execution, ...] | None = msgspec.field(default=None, name="executions")

    @property
    def executions(self) -> tuple[Execution, ...]:
        """Every cell, when they were asked for."""
        return self.told_executions or ()

    @property
    def is_final(self) -> bool:
        """Whether nothing will move any more."""
        return self.state in ("completed", "failed", "cancelled")


class JobEventBody(View, frozen=True, kw_only=True):
    at: str | None = None
    execution: str | None = None
    state: str | None = None
    hive: str | None = None
    failure: str | None = None
    reason: str | None = None


class HiveModel(View, frozen=True, kw_only=True):
    name: str
    weights_sha256: str | None = None
    engine: str | None = None
    loaded: bool = False


class Hive(View, frozen=True, kw_only=True):
    id: str
    name: str
    status: str
    linked: bool
    slots: int
    region: Any = None
    draining: bool = False
    running: int = 0
    last_contact_at: str | None = None
    models: tuple[HiveModel, ...] = ()
    devices: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()

    @property
    def region_claimed(self) -> str | None:
        """The region's name, whether it is told bare or with its evidence."""
        return self.region.get("claimed") if isinstance(self.region, dict) else self.region


class Price(View, frozen=True, kw_only=True):
    prompt: str | None = None
    completion: str | None = None


class Model(View, frozen=True, kw_only=True):
    name: str
    weights_sha256: str | None = None
    engine: str | None = None
    quantisation: str | None = None
    context_tokens: int | None = None
    bytes: int | None = None
    hives: int = 0
    loaded: int = 0
    pinned: bool = False
    price: Price = Price()


class Question(View, frozen=True, kw_only=True):
    id: str
    text: str | None = None
    category: str | None = None
    set_name: str | None = None
    expected: Any = None


class Health(View, frozen=True, kw_only=True):
    status: str
    version: str
    network: str | None = None
    dependencies: dict[str, dict[str, Any]] = {}


class JoinLink(View, frozen=True, kw_only=True):
    link: str
    expires_at: str


class TrustedKey(View, frozen=True, kw_only=True):
    public_key: str
    account: str
    status: str
    key_id: str | None = None
    added_at: str | None = None


class ApiKey(View, frozen=True, kw_only=True):
    """`token_start` is what is kept of its token for people; `spent` is held or was charged, in credits."""

    id: str
    account: str
    name: str
    token_start: str
    status: str
    scopes: tuple[str, ...]
    spent: str
    models: tuple[str, ...] | None = None
    budget: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    created_at: str | None = None
    expires_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None


class MadeApiKey(ApiKey, frozen=True, kw_only=True):
    """The one answer that carries the token; its text never shows it."""

    token: str

    def __repr__(self) -> str:
        return f"MadeApiKey(id={self.id!r}, token_start={self.token_start!r})"


class Page(View, frozen=True, kw_only=True):
    """One page of a list; which list is set depends on the question."""

    jobs: tuple[Job, ...] = ()
    executions: tuple[Execution, ...] = ()
    questions: tuple[Question, ...] = ()
    models: tuple[Model, ...] = ()
    regions: tuple[dict[str, Any], ...] = ()
    hives: tuple[Hive, ...] = ()
    keys: tuple[TrustedKey, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    next: str | None = None


def decode_answer(raw: bytes, form: type[Answer]) -> Answer:
    """`raw` as `form`; raises `BadUpstreamError` naming the member that does not fit."""
    try:
        return msgspec.json.decode(raw, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadUpstreamError(
            f"the answer is not a {form.__name__}: {error}", code="answer_malformed"
        ) from error
