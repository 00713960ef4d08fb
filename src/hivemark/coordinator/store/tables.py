"""The one schema, for SQLite and PostgreSQL alike; checks of states derive from `jobs.lifecycle`.

Times are Unix milliseconds, money integer micro-credits. What must never be false is a constraint here and a
question of `fsck`. Ledger and log rows (`book_transactions`, `postings`, `log_rows`, `log_entries`) are never
updated. A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from hivemark.credits.book import TREASURY, TransactionKind
from hivemark.jobs.lifecycle import (
    ATTEMPTS_MAX,
    FINAL_EXECUTION_STATES,
    FINAL_JOB_STATES,
    ExecutionState,
    JobState,
)

# SQLite counts only an INTEGER primary key up by itself.
_Counter = BigInteger().with_variant(Integer, "sqlite")

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, states: Iterable[StrEnum]) -> str:
    names = ", ".join(f"'{state.value}'" for state in sorted(states, key=lambda state: state.value))
    return f"{column} IN ({names})"


def _final_iff_finished(states: Iterable[StrEnum]) -> CheckConstraint:
    rule = f"({_one_of('state', states)}) = (finished_ms IS NOT NULL)"
    return CheckConstraint(rule, name="final_iff_finished")


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("spec_id", Text, nullable=False),
    Column("spec_sha256", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("body_sha256", Text, nullable=False),
    Column("benchmark", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("min_success_rate", Float, nullable=False),
    Column("min_regions", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("event_seq", BigInteger, nullable=False),  # seq of the job's last event row
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("api_key", Text),  # under whose budget it runs; its signature is then the service key's
    Column("held_by", Text),  # the run of the replica that holds the client of a call
    UniqueConstraint("signer", "spec_id"),
    UniqueConstraint("signer", "idempotency_key"),
    CheckConstraint(_one_of("state", JobState), name="state"),
    CheckConstraint("visibility IN ('public', 'private')", name="visibility"),
    _final_iff_finished(FINAL_JOB_STATES),
)
Index("ix_jobs_spec_id", jobs.c.spec_id)
Index("ix_jobs_account", jobs.c.account, jobs.c.id)
Index(
    "ix_jobs_open",
    jobs.c.created_ms,
    sqlite_where=text("finished_ms IS NULL"),
    postgresql_where=text("finished_ms IS NULL"),
)

Index(
    "ix_jobs_held",
    jobs.c.held_by,
    sqlite_where=text("finished_ms IS NULL AND held_by IS NOT NULL"),
    postgresql_where=text("finished_ms IS NULL AND held_by IS NOT NULL"),
)

# Apart from `jobs`, whose small rows are written again with every move of a cell.
job_specs: Final = Table(
    "job_specs",
    metadata,
    Column("job", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("message", LargeBinary, nullable=False),
)

nonces: Final = Table(
    "nonces",
    metadata,
    Column("signer", Text, primary_key=True),
    Column("nonce", Text, primary_key=True),
    Column("until_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_nonces_until_ms", nonces.c.until_ms)

executions: Final = Table(
    "executions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job", Text, ForeignKey("jobs.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("question", Integer, nullable=False),
    Column("persona", Integer, nullable=False),
    Column("model", Integer, nullable=False),
    Column("region_index", Integer, nullable=False),
    Column("arm", Integer, nullable=False),
    Column("repeat", Integer, nullable=False),
    Column("replica", Integer, nullable=False),
    Column("model_name", Text),
    Column("weights_sha256", Text),
    Column("region", Text),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("lease_version", BigInteger),  # of the attempt that may end it
    Column("attempts", Integer, nullable=False),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("hold_micro", BigInteger, nullable=False),
    Column("queued_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("attempt", Text),
    Column("failure", Text),
    UniqueConstraint(
        "job",
        "question",
        "persona",
        "model",
        "region_index",
        "arm",
        "repeat",
        "replica",
        name="uq_executions_cell",
    ),
    UniqueConstraint("job", "ordinal"),
    CheckConstraint(_one_of("state", ExecutionState), name="state"),
    _final_iff_finished(FINAL_EXECUTION_STATES),
    CheckConstraint(f"attempts BETWEEN 0 AND {ATTEMPTS_MAX}", name="attempts"),
    CheckConstraint("hold_micro >= 0", name="hold"),
)
Index(
    "ix_executions_queued",
    executions.c.job,
    executions.c.ordinal,
    sqlite_where=text("state = 'queued'"),
    postgresql_where=text("state = 'queued'"),
)
Index(
    "ix_executions_open",
    executions.c.job,
    sqlite_where=text("finished_ms IS NULL"),
    postgresql_where=text("finished_ms IS NULL"),
)

attempts: Final = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("execution", Text, ForeignKey("executions.id"), nullable=False),
    Column("job", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("hive", Text, ForeignKey("hives.id"), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("lease_version", BigInteger, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("leased_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("queued_ms", BigInteger, nullable=False),
    Column("grant_sha256", Text, nullable=False),
    Column("outcome", Text),
    Column("receipt", LargeBinary),
    Column("receipt_sha256", Text),
    Column("late_receipt_sha256", Text),
    Column("disclosure", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("charge_micro", BigInteger, nullable=False),
    Column("log_entry", Text),
    Column("disclosed", LargeBinary),  # salts of a call, whose texts are not kept
    UniqueConstraint("execution", "number"),
    CheckConstraint(f"number BETWEEN 1 AND {ATTEMPTS_MAX}", name="number"),
    CheckConstraint("outcome IN ('accepted', 'lost', 'cancelled')", name="outcome"),
    CheckConstraint("(outcome IS NULL) = (finished_ms IS NULL)", name="closed_iff_finished"),
    CheckConstraint("(outcome = 'accepted') = (receipt IS NOT NULL)", name="accepted_iff_receipt"),
    CheckConstraint("charge_micro >= 0", name="charge"),
)
Index(
    "ix_attempts_open",
    attempts.c.hive,
    sqlite_where=text("outcome IS NULL"),
    postgresql_where=text("outcome IS NULL"),
)
Index(
    "ix_attempts_unlogged",
    attempts.c.id,
    sqlite_where=text("outcome IS NOT NULL AND log_entry IS NULL"),
    postgresql_where=text("outcome IS NOT NULL AND log_entry IS NULL"),
)

job_events: Final = Table(
    "job_events",
    metadata,
    Column("job", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)

# ── hives and keys ───────────────────────────────────────────────────────────────────────────────

hives: Final = Table(
    "hives",
    metadata,
    Column("id", Text, primary_key=True),
    Column("public_key", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("region", Text),
    Column("status", Text, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("enrolled_ms", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("session_sha256", Text),
    Column("linked", Boolean, nullable=False),
    Column("last_contact_ms", BigInteger),
    Column("slots", Integer, nullable=False),
    Column("devices", Text, nullable=False),  # JSON list
    Column("simulated", Text, nullable=False),  # JSON list
    Column("address", Text),
    CheckConstraint("status IN ('active', 'revoked')", name="status"),
)

hive_models: Final = Table(
    "hive_models",
    metadata,
    Column("hive", Text, ForeignKey("hives.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("weights_sha256", Text),
    Column("engine", Text, nullable=False),
    Column("quantisation", Text),
    Column("context_tokens", BigInteger),
    Column("bytes", BigInteger),
    Column("loaded", Boolean, nullable=False),
)

join_tokens: Final = Table(
    "join_tokens",
    metadata,
    Column("token_sha256", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("hive", Text),  # who spent it
)

trusted_keys: Final = Table(
    "trusted_keys",
    metadata,
    Column("public_key", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    CheckConstraint("status IN ('active', 'revoked')", name="status"),
)

# A token is kept as its digest and its first characters. `spent_micro` is what is held or was charged under
# the key; the moves of its jobs keep it, in the transactions that also book the money.
api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("token_start", Text, nullable=False),
    Column("token_sha256", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),  # JSON list
    Column("models", Text),  # JSON list; None: every model
    Column("budget_micro", BigInteger),
    Column("spent_micro", BigInteger, nullable=False),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("last_used_ms", BigInteger),
    CheckConstraint("spent_micro >= 0 AND spent_micro <= budget_micro", name="within_budget"),
    CheckConstraint("requests_per_minute > 0", name="requests_per_minute"),
    CheckConstraint("tokens_per_minute > 0", name="tokens_per_minute"),
)
Index("ix_api_keys_account", api_keys.c.account, api_keys.c.id)

# ── credits ──────────────────────────────────────────────────────────────────────────────────────

accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("balance_micro", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),  # of its newest posting
    CheckConstraint(f"balance_micro >= 0 OR id = '{TREASURY}'", name="no_overdraft"),
    sqlite_with_rowid=False,
)

# The head row is locked by every booking, so that the book's sequence has no gaps.
book_head: Final = Table(
    "book_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("network", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

book_transactions: Final = Table(
    "book_transactions",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("tick_ms", BigInteger, nullable=False),
    CheckConstraint(_one_of("kind", TransactionKind), name="kind"),
)

postings: Final = Table(
    "postings",
    metadata,
    Column("account", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("account_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, ForeignKey("book_transactions.seq"), nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    CheckConstraint("amount_micro <> 0", name="amount"),
    sqlite_with_rowid=False,
)

# ── log ──────────────────────────────────────────────────────────────────────────────────────────

log_rows: Final = Table(
    "log_rows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("leaf", LargeBinary, nullable=False),
    Column("entry", LargeBinary),  # None where it equals the leaf, or was lost with an older database
    Column("salt", LargeBinary),
    Column("attempt", Text),
    Column("queued_ms", BigInteger, nullable=False),
)

# A row leaves the queue when it gets its index, so that T4 never searches the whole log. Numbers may be used
# again once the queue was empty; that an entry has one index is said by `log_entries`.
log_queue: Final = Table(
    "log_queue",
    metadata,
    Column("seq", _Counter, primary_key=True, autoincrement=True),
    Column("row_id", Text, ForeignKey("log_rows.id"), nullable=False),
)

log_entries: Final = Table(
    "log_entries",
    metadata,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("row_id", Text, ForeignKey("log_rows.id"), nullable=False, unique=True),
)

log_leader: Final = Table(
    "log_leader",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text),
    Column("until_ms", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("published_size", BigInteger, nullable=False),
    Column("published_root", LargeBinary, nullable=False),
    Column("published_checkpoint", Text),
    Column("released_size", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint(
        "0 <= released_size AND released_size <= published_size AND published_size <= size", name="order"
    ),
)
