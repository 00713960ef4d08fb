"""What the coordinator's services ask of storage: values in, values out, one transaction per method.

Every method is synchronous, safe to call from several threads, and commits before it returns. A move that
lost its race raises `StateMoved`. `store/` implements this on SQLite and PostgreSQL; nothing else does.
Times are Unix milliseconds, money integer micro-credits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hivemark.errors import ConflictError
from hivemark.jobs.lifecycle import ExecutionEvent, ExecutionState, JobState


class StateMoved(ConflictError):
    """The row has moved on since it was read."""


# ── jobs (T1, cancel) ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class NewExecution:
    """One cell, unique by (job, question, persona, model, region, arm, repeat, replica) indices."""

    id: str
    question: int
    persona: int
    model: int
    region_index: int
    arm: int
    repeat: int
    replica: int
    model_name: str | None
    weights_sha256: str | None
    region: str | None
    hold_micro: int


@dataclass(frozen=True, slots=True)
class NewJob:
    id: str
    account: str
    signer: str  # base64 public key
    spec_id: str
    spec_raw: bytes
    spec_message: bytes
    spec_sha256: str
    nonce: str
    nonce_until_ms: int  # after this the age check refuses the spec anyway
    idempotency_key: str | None
    body_sha256: str
    benchmark: str
    visibility: str
    min_success_rate: float
    min_regions: int
    created_ms: int
    deadline_ms: int
    requester: str  # pseudonym that stands in log entries
    executions: tuple[NewExecution, ...]
    api_key: str | None = None  # id of the key whose budget the holds count against
    held_by: str | None = None  # the run of the replica that holds the client of a call


@dataclass(frozen=True, slots=True)
class Submitted:
    """`replayed`: the same idempotency key, signer and body had made this job before."""

    job: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of cells by state; the sum is `cells`. `regions_completed` counts regions with a success."""

    cells: int
    queued: int
    leased: int
    running: int
    completed: int
    failed: int
    dead: int
    cancelled: int
    regions_completed: int


@dataclass(frozen=True, slots=True)
class JobHead:
    """A job without its counts, which cost a scan over its cells."""

    id: str
    account: str
    signer: str
    spec_id: str
    spec_raw: bytes
    spec_sha256: str
    benchmark: str
    visibility: str
    requester: str
    min_success_rate: float
    min_regions: int
    state: JobState
    version: int
    created_ms: int
    started_ms: int | None
    finished_ms: int | None
    deadline_ms: int
    held_by: str | None


@dataclass(frozen=True, slots=True)
class JobRow(JobHead):
    held_micro: int
    settled_micro: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    id: str
    job: str
    ordinal: int  # 0-based position within the job
    question: int
    persona: int
    model: int
    region_index: int
    arm: int
    repeat: int
    replica: int
    model_name: str | None
    weights_sha256: str | None
    region: str | None
    state: ExecutionState
    version: int
    attempts: int
    not_before_ms: int
    hold_micro: int
    queued_ms: int  # when it last became queued
    finished_ms: int | None
    attempt: str | None  # the current or deciding attempt
    failure: str | None  # JSON {stage, code, message, transient}


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One row of a job's event stream; `seq` is gapless per job and is the SSE id."""

    job: str
    seq: int
    at_ms: int
    name: str  # past tense: job_enqueued, execution_leased, execution_completed, job_completed …
    body: str  # JSON


# ── leases (T2), results (T3) ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AttemptRow:
    id: str
    execution: str
    job: str
    number: int  # 1..3
    hive: str
    lease_version: int
    lease_until_ms: int
    leased_ms: int
    started_ms: int | None
    finished_ms: int | None
    queued_ms: int  # when the execution had been queued for this attempt
    grant_sha256: str
    outcome: str | None  # None while open; accepted | lost | cancelled
    receipt: bytes | None  # the hive's envelope bytes
    receipt_sha256: str | None
    late_receipt_sha256: str | None
    disclosure: str | None  # blob digest
    prompt_tokens: int | None
    completion_tokens: int | None
    log_entry: str | None  # id of the queued log row (see LogRow)
    disclosed: bytes | None  # what opens the commitments of a call, without texts


@dataclass(frozen=True, slots=True)
class LeaseCandidate:
    """A queued execution that the asking hive may run."""

    execution: ExecutionRow
    job: JobHead


@dataclass(frozen=True, slots=True)
class NewLease:
    """What T2 writes for one candidate; the attempt's number is the execution's `attempts` + 1."""

    attempt: str
    execution: str
    execution_version: int
    hive: str
    epoch: int
    lease_until_ms: int
    grant_sha256: str


@dataclass(frozen=True, slots=True)
class NewLogEntry:
    """A row for the log queue. `leaf` is what goes into the tree; for private jobs `leaf` commits to `entry`
    under `salt`."""

    id: str
    leaf: bytes
    entry: bytes
    salt: bytes | None
    attempt: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What T3 writes when a receipt is accepted for a live lease."""

    attempt: str
    lease_version: int
    event: ExecutionEvent  # SUCCEEDED, FAILED_PERMANENT, FAILED_TRANSIENT or, for a call, CANCELLED
    now_ms: int
    receipt: bytes
    receipt_sha256: str
    disclosure: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    charge_micro: int
    failure: str | None
    not_before_ms: int  # earliest next lease when the execution is queued again
    log: NewLogEntry
    log_event_body: str  # JSON of the job event
    disclosed: bytes | None = None


# ── hives ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class HiveModel:
    name: str
    weights_sha256: str | None
    engine: str
    quantisation: str | None
    context_tokens: int | None
    bytes: int | None
    loaded: bool


@dataclass(frozen=True, slots=True)
class HiveRow:
    id: str
    public_key: str
    name: str
    owner: str  # account
    region: str | None
    status: str  # active | revoked
    draining: bool
    enrolled_ms: int
    epoch: int
    session_sha256: str | None
    linked: bool
    last_contact_ms: int | None
    slots: int
    devices: tuple[str, ...]
    simulated: tuple[str, ...]
    models: tuple[HiveModel, ...]
    address: str | None  # as seen by the coordinator; never in an entry


# ── log (T4–T6) ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LogRow:
    id: str
    index: int | None
    leaf: bytes
    entry: bytes | None
    salt: bytes | None
    attempt: str | None


@dataclass(frozen=True, slots=True)
class LogState:
    """The leader row. `size` counts assigned indices, `published_*` the newest signed checkpoint."""

    epoch: int
    size: int
    published_size: int
    published_root: bytes
    published_checkpoint: str | None


class JobStore(Protocol):
    """T1, cancelling, the deadline, and what people read about jobs."""

    def replayed(self, *, signer: str, idempotency_key: str, body_sha256: str) -> str | None:
        """The job this key had made with this body; None when the key is new; with another body
        `UnsatisfiableError` `idempotency_key_reused`. A look before `submit`, which checks again."""
        ...

    def require_unused(self, *, signer: str, spec_id: str, nonce: str) -> None:
        """`job_id_taken`, then `nonce_repeated` (`ConflictError`). A look before `submit`, as above."""
        ...

    def submit(self, job: NewJob) -> Submitted:
        """T1. In this order: same idempotency key and signer (same body → replay, other body →
        `UnsatisfiableError` `idempotency_key_reused`), `job_id_taken` and `nonce_repeated`
        (`ConflictError`), under an API key `api_key_revoked`, `api_key_expired` (`UnauthenticatedError`) and
        `budget_exhausted` (`PaymentRequiredError`), `balance_too_low` (`PaymentRequiredError`)."""
        ...

    def job(self, job_id: str) -> JobRow | None: ...
    def jobs_by_spec_id(self, spec_id: str) -> Sequence[JobRow]: ...
    def jobs(
        self, *, account: str | None, public_only: bool, before: str | None, limit: int
    ) -> Sequence[JobRow]:
        """Newest first; both filters narrow; `before` is the id of the last row of the page before."""
        ...

    def execution(self, execution_id: str) -> ExecutionRow | None: ...
    def executions(
        self, *, job: str | None, public_only: bool, before: str | None, limit: int
    ) -> Sequence[ExecutionRow]:
        """Of one job by ordinal, else newest job first; `before` as in `jobs`."""
        ...

    def attempts(self, execution_id: str) -> Sequence[AttemptRow]: ...
    def attempts_of(self, attempt_ids: Sequence[str]) -> Sequence[AttemptRow]:
        """In any order; unknown ids are left out."""
        ...

    def events_after(self, job_id: str, *, seq: int, limit: int) -> Sequence[JobEvent]: ...
    def cancel(self, job_id: str, *, now_ms: int) -> Sequence[AttemptRow]:
        """Cancel every cell that is not final, give the holds back, end the job; answers the attempts that
        were open (outcome now `cancelled`), whose entries the caller queues. A final job: nothing happens."""
        ...

    def orphaned_calls(self, *, held_by: str, limit: int) -> Sequence[ExecutionRow]:
        """Executions that are not final, of calls whose client another run than `held_by` held."""
        ...

    def expire_jobs(self, *, now_ms: int, limit: int) -> int:
        """End the queued cells of jobs past their deadline; answers how many jobs were touched. Open
        attempts end by themselves: `renew` extends no lease that already reaches past the deadline."""
        ...


class LeaseStore(Protocol):
    """T2 and the life of a lease."""

    def candidates(self, hive: str, *, now_ms: int, limit: int) -> Sequence[LeaseCandidate]:
        """Queued cells this hive may run (its digests, or names where unpinned; its region), due, before
        their deadline; oldest jobs first and of each job at most a fair share of `limit` unless it is alone.
        Nothing when the hive is revoked or draining."""
        ...

    def lease(self, leases: Sequence[NewLease], *, now_ms: int) -> Sequence[AttemptRow]:
        """T2, in one transaction; answers the ones that were won. `StateMoved` when the epoch is old."""
        ...

    def start(self, attempt: str, *, lease_version: int, now_ms: int) -> bool:
        """leased → running; False when the lease has moved or had started."""
        ...

    def renew(
        self, hive: str, *, epoch: int, held: Sequence[tuple[str, int]], lease_until_ms: int
    ) -> Sequence[str]:
        """Extend the leases in `held` (attempt, lease_version) that still stand; answers their attempts.
        `StateMoved` when the epoch is old. What is not in the answer has moved: the hive drops it."""
        ...

    def open_attempts(self, hive: str) -> Sequence[AttemptRow]: ...
    def expired_attempts(self, *, now_ms: int, limit: int) -> Sequence[AttemptRow]: ...
    def attempt(self, attempt_id: str) -> AttemptRow | None: ...
    def unlogged_attempts(self, *, limit: int) -> Sequence[AttemptRow]:
        """Closed attempts without a log entry: cut by a cancelled job, their entries still to be queued."""
        ...


class ResultStore(Protocol):
    """T3: one attempt ends, in one of three ways; each also queues the attempt's log entry."""

    def record_result(self, result: Result) -> ExecutionState:
        """The state the execution is in then. `StateMoved` when the attempt is not open under this lease version; record it late then."""
        ...

    def record_lost(
        self,
        attempt: str,
        *,
        lease_version: int,
        now_ms: int,
        not_before_ms: int,
        reason: str,
        log: NewLogEntry,
        event: ExecutionEvent = ExecutionEvent.LEASE_LOST,
        disclosed: bytes | None = None,
    ) -> ExecutionState:
        """The lease ended without a receipt: queued again, or dead after the last attempt; a call that was
        cut ends with `event`. `StateMoved` as above."""
        ...

    def record_late(self, attempt: str, *, receipt_sha256: str, now_ms: int, log: NewLogEntry) -> bool:
        """A receipt for a lease that has moved: logged, never paid. False when this envelope, or another
        late one for the attempt, was recorded before."""
        ...


class LogStore(Protocol):
    """T4–T6. A call under an epoch that is no longer the leader's raises `StateMoved`."""

    def log_state(self) -> LogState: ...
    def lead(self, *, holder: str, now_ms: int, lease_ms: int) -> int | None:
        """Take or renew leadership; the epoch, or None while another holder's lease runs. `holder` is unique
        to a run of a process: a name used twice would not be fenced."""
        ...

    def assign(self, *, epoch: int, limit: int) -> Sequence[LogRow]:
        """T4: give queued rows the next indices, durably, before any tile is written. Rows come with leaf
        only."""
        ...

    def log_rows(self, *, start: int, end: int) -> Sequence[LogRow]:
        """Rows with start <= index < end by index, leaf only."""
        ...

    def publish(self, *, epoch: int, size: int, root: bytes, checkpoint: str) -> None:
        """T5."""
        ...

    def adopt(
        self, *, epoch: int, start: int, leaves: Sequence[bytes], checkpoint: str, size: int, root: bytes
    ) -> None:
        """Take over entries that the tiles have and the database (restored from an older copy) has not;
        in pieces; the checkpoint counts as published with the piece that reaches `size`."""
        ...

    def log_row(self, row_id: str) -> LogRow | None: ...
    def log_rows_of(self, row_ids: Sequence[str]) -> Sequence[LogRow]:
        """In any order; unknown ids are left out."""
        ...

    def log_row_by_index(self, index: int) -> LogRow | None: ...
    def queue_entry(self, entry: NewLogEntry, *, now_ms: int) -> None:
        """Queue an entry that no result queues. One for an attempt becomes that attempt's entry, and is
        dropped when the attempt has one already or is unknown."""
        ...

    def release(self, *, covered_size: int, now_ms: int, limit: int) -> int:
        """T6: pay what entries below `covered_size` settled, at most `limit` entries per call; answers how
        many entries were passed."""
        ...


class HiveStore(Protocol):
    """Machines: enrolment, sessions, offers."""

    def add_join_token(self, token_sha256: str, *, owner: str, until_ms: int) -> None: ...
    def enrol(self, hive: HiveRow, *, token_sha256: str, now_ms: int, log: NewLogEntry) -> HiveRow:
        """Spend the token (once; the same hive may repeat) and make the hive; its owner is the token's.
        `ForbiddenError` with `join_token_invalid` or `hive_revoked`. A hive that is already active is
        answered as it stands, without a second entry."""
        ...

    def hive(self, hive_id: str) -> HiveRow | None: ...
    def hives(self) -> Sequence[HiveRow]: ...
    def open_session(self, hive: str, *, session_sha256: str, address: str | None, now_ms: int) -> int:
        """Begin the next epoch; `ForbiddenError` `hive_revoked`, `NotFoundError` `unknown_hive`."""
        ...

    def close_session(self, hive: str, *, epoch: int, now_ms: int) -> None: ...
    def offer(
        self,
        hive: str,
        *,
        epoch: int,
        name: str,
        region: str | None,
        slots: int,
        models: Sequence[HiveModel],
        devices: Sequence[str],
        simulated: Sequence[str],
        now_ms: int,
    ) -> None:
        """Replace what the hive offers; `StateMoved` when the epoch is old."""
        ...

    def contact(self, hive: str, *, epoch: int, now_ms: int) -> bool:
        """Note that the hive spoke; False when the epoch is old."""
        ...

    def set_draining(self, hive: str, on: bool) -> None: ...
    def revoke_hive(self, hive: str, *, now_ms: int, log: NewLogEntry) -> None: ...


@dataclass(frozen=True, slots=True)
class TrustedKey:
    public_key: str
    account: str
    key_id: str
    status: str  # active | revoked
    added_ms: int


class KeyStore(Protocol):
    """Keys that may submit, and the credits behind them."""

    def trust(self, key: TrustedKey, *, grant_micro: int) -> None:
        """Trust (again); the grant is minted once per key."""
        ...

    def trusted_key(self, public_key: str) -> TrustedKey | None: ...
    def trusted_keys(self) -> Sequence[TrustedKey]: ...
    def untrust(self, public_key: str, *, now_ms: int) -> None: ...
    def balance(self, account: str) -> tuple[int, int, int]:
        """Available, held in escrow for the account's jobs, pending for the account's hives."""
        ...


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A handle bound to an account. Its token is known to its holder alone; None as a limit: no limit."""

    id: str
    account: str
    name: str
    token_start: str  # what people recognise it by
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    budget_micro: int | None
    spent_micro: int  # what is held or was charged under it
    requests_per_minute: int | None
    tokens_per_minute: int | None
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    last_used_ms: int | None
    account_trusted: bool  # whether any key of its account is trusted


class ApiKeyStore(Protocol):
    """API keys. Their budgets are kept by `JobStore.submit` and whatever ends a hold."""

    def add_api_key(self, key: ApiKey, *, token_sha256: str) -> None: ...
    def api_key(self, key_id: str) -> ApiKey | None: ...
    def api_key_of_token(self, token_sha256: str) -> ApiKey | None: ...
    def api_keys(self, *, account: str | None, before: str | None, limit: int) -> Sequence[ApiKey]:
        """Newest first, revoked ones included; `before` as in `JobStore.jobs`."""
        ...

    def revoke_api_key(self, key_id: str, *, now_ms: int) -> None:
        """For good; the first time counts. An unknown id: nothing happens."""
        ...

    def touch_api_key(self, key_id: str, *, now_ms: int) -> None:
        """Note a use; not durable, and time only goes forward."""
        ...


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is: jobs and executions by state, log rows without an index."""

    jobs: Mapping[JobState, int]
    executions: Mapping[ExecutionState, int]
    log_queue: int


class Store(JobStore, LeaseStore, ResultStore, LogStore, HiveStore, KeyStore, ApiKeyStore, Protocol):
    """Everything; services take the narrow ports they need."""

    def counts(self) -> Counts:
        """For the metrics; a scan, so the caller asks rarely."""
        ...

    def ping(self) -> None: ...
    def close(self) -> None: ...


class BlobStore(Protocol):
    """Content-addressed, write-once. `put` returns after fsync of file and folder; digest is SHA-256 hex."""

    def put(self, content: bytes) -> str: ...
    def get(self, digest: str) -> bytes | None: ...
    def ping(self) -> None: ...


class TileStore(Protocol):
    """Files of the log by path under its prefix (`tile/0/000`, `checkpoint`); writes are atomic and synced."""

    def write(self, path: str, content: bytes) -> None: ...
    def read(self, path: str) -> bytes | None: ...
