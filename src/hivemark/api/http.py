"""Bodies of the HTTP API, as docs/spec/http.md fixes them.

Times are RFC 3339 in UTC, money is credits as decimal text, digests are lower-case hex. A member that cannot
be known is null. The agent on a hive does not import this module (it would bring pydantic).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True)


class Post(BaseModel):
    """Base of what is posted: unknown members are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Problem(Body):
    """RFC 9457, `application/problem+json`. `code` is for programs, `hint` for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    field: str | None
    hint: str | None
    request_id: str
    retryable: bool


class JobAccepted(Body):
    """Answer to a submission; `held` is the most the job can cost."""

    id: str
    status: str
    spec_id: str
    executions: int
    held: str


class ProgressBody(Body):
    """Cells by state."""

    cells: int
    queued: int
    leased: int
    running: int
    completed: int
    failed: int
    dead: int
    cancelled: int


class CreditsBody(Body):
    """What is held for the job, and what was settled of it."""

    held: str
    settled: str


class QuestionRefBody(Body):
    id: str
    category: str | None


class ModelRefBody(Body):
    name: str
    weights_sha256: str | None


class RegionBody(Body):
    """How far a region is supported by evidence; on this network by the claim alone."""

    claimed: str | None
    observed: str | None
    verified: bool
    level: Literal["claimed", "observed", "consistent", "attested"]
    method: str | None
    evidence: dict[str, Any] | None


class UsageBody(Body):
    prompt_tokens: int
    completion_tokens: int


class FailureBody(Body):
    stage: str
    code: str
    message: str
    transient: bool


class ExecutionBody(Body):
    """One cell. `output` is null before there is one and where the asker may not read it."""

    id: str
    job: str
    ordinal: int
    question: QuestionRefBody | None
    persona: str | None
    model: ModelRefBody | None
    region: RegionBody
    arm: str | None
    repeat: int
    replica: int
    state: str
    attempts: int
    attempt: str | None
    hive: str | None
    output: str | None
    finish_reason: str | None
    usage: UsageBody | None
    failure: FailureBody | None
    queued_at: str
    started_at: str | None
    finished_at: str | None
    duration_ms: float | None
    tokens_per_s: float | None
    receipt_sha256: str | None
    log_index: int | None
    simulated: list[str]


class JobBody(Body):
    """One job; `status` repeats `state`. `waiting_for` says in words what queued cells lack."""

    id: str
    spec_id: str
    benchmark: str
    state: str
    status: str
    visibility: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline_at: str
    spec_sha256: str
    progress: ProgressBody
    min_success_rate: float
    min_regions: int
    credits: CreditsBody
    waiting_for: list[str]
    executions: list[ExecutionBody] | None = None


class JobsBody(Body):
    jobs: list[JobBody]
    next: str | None


class ExecutionsBody(Body):
    executions: list[ExecutionBody]
    next: str | None


class ReceiptBody(Body):
    """The two statements as they stand in the log entry."""

    execution: str
    attempt: str
    receipt: dict[str, Any] | None
    acceptance: dict[str, Any]
    entry_sha256: str


class QuestionBody(Body):
    id: str
    text: str
    category: str
    language: str
    expected: dict[str, Any] | None
    set_name: str
    set_version: str
    set_sha256: str
    source: str


class QuestionsBody(Body):
    questions: list[QuestionBody]


class PriceBody(Body):
    """Credits per token."""

    prompt: str
    completion: str


class ModelBody(Body):
    """A model; `hives` counts linked hives that offer it, `loaded` those that have it ready."""

    name: str
    weights_sha256: str | None
    pinned: bool
    engine: str
    quantisation: str | None
    context_tokens: int | None
    bytes: int | None
    hives: int
    loaded: int
    price: PriceBody


class ModelsBody(Body):
    models: list[ModelBody]


class RegionSummaryBody(Body):
    name: str
    hives: int
    linked: int


class RegionsBody(Body):
    regions: list[RegionSummaryBody]


class HiveModelBody(Body):
    name: str
    weights_sha256: str | None
    engine: str
    quantisation: str | None
    loaded: bool


class HiveBody(Body):
    id: str
    name: str
    region: str | None
    status: str
    linked: bool
    draining: bool
    slots: int
    running: int
    enrolled_at: str
    last_contact_at: str | None
    models: list[HiveModelBody]
    devices: list[str]
    simulated: list[str]


class HivesBody(Body):
    hives: list[HiveBody]


class JoinLinkPost(Post):
    """How long the link may be used, once; `local`: on this machine; `host`: another name for this one."""

    ttl_s: float = Field(default=3600, gt=0, le=2_592_000, strict=False)
    local: bool = False
    host: Annotated[str, Field(pattern=r"^([A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45})$")] | None = None


class JoinLinkBody(Body):
    link: str
    expires_at: str


class DrainPost(Post):
    on: bool


class KeyPost(Post):
    """A key to trust; `credits` is what its account is given, once (default: the network's grant)."""

    public_key: str
    key_id: str | None = None
    credits: str | None = None


class KeyRevokePost(Post):
    public_key: str


class KeyBody(Body):
    public_key: str
    account: str
    key_id: str
    status: str
    added_at: str


class KeysBody(Body):
    keys: list[KeyBody]


class ApiKeyPost(Post):
    """An API key to make. Left out, a limit is no limit; `account` is for admins, default: the asker's."""

    name: str
    account: str | None = None
    scopes: list[str] | None = None
    models: list[str] | None = None
    budget: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    ttl_s: float | None = Field(default=None, gt=0, le=315_360_000, strict=False)


class ApiKeyBody(Body):
    """An API key; `token_start` is what is kept of its token for people. `spent` is held or was charged."""

    id: str
    account: str
    name: str
    token_start: str
    status: Literal["active", "expired", "revoked"]
    scopes: list[str]
    models: list[str] | None
    budget: str | None
    spent: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class ApiKeyMadeBody(ApiKeyBody):
    """The one answer that carries the token."""

    token: str


class ApiKeysBody(Body):
    api_keys: list[ApiKeyBody]
    next: str | None


class RootBody(Body):
    """The newest checkpoint; `checkpoint` is the signed note."""

    origin: str
    size: int
    root_sha256: str
    checkpoint: str


class ProofBody(Body):
    """Inclusion of the entry at `index` in the tree of `size`; hashes are base64, leaf to root."""

    index: int
    size: int
    leaf_sha256: str
    hashes: list[str]
    checkpoint: str


class ConsistencyBody(Body):
    """The tree of `first` entries is a prefix of that of `second`; hashes are base64."""

    first: int
    second: int
    hashes: list[str]


class DependencyBody(Body):
    """What a probe last said, and how long ago."""

    status: Literal["ok", "failed"]
    age_s: float
    detail: str | None = None


class HiveCountsBody(Body):
    """Null while the database cannot be read."""

    enrolled: int | None
    linked: int | None


class DependenciesBody(Body):
    database: DependencyBody
    log: DependencyBody
    blobs: DependencyBody
    hives: HiveCountsBody


class HealthBody(Body):
    status: Literal["ok", "degraded"]
    version: str
    network: str
    dependencies: DependenciesBody


class VersionBody(Body):
    version: str
    network: str
    protocol: int
