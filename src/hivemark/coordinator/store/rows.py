"""Columns as they are selected, and the values of the ports made from them; each pair has one order."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import exists

from hivemark.coordinator.ports import (
    ApiKey,
    AttemptRow,
    ExecutionRow,
    HiveModel,
    HiveRow,
    JobEvent,
    JobHead,
    JobRow,
    LogRow,
    Progress,
    TrustedKey,
)
from hivemark.coordinator.store.database import AnyRow
from hivemark.coordinator.store.tables import (
    api_keys,
    attempts,
    executions,
    hive_models,
    hives,
    job_events,
    job_specs,
    jobs,
)
from hivemark.coordinator.store.tables import trusted_keys as keys
from hivemark.jobs.lifecycle import ExecutionState, JobState

JOB_HEAD: Final = (
    jobs.c.id,
    jobs.c.account,
    jobs.c.signer,
    jobs.c.spec_id,
    job_specs.c.raw,
    jobs.c.spec_sha256,
    jobs.c.benchmark,
    jobs.c.visibility,
    jobs.c.requester,
    jobs.c.min_success_rate,
    jobs.c.min_regions,
    jobs.c.state,
    jobs.c.version,
    jobs.c.created_ms,
    jobs.c.started_ms,
    jobs.c.finished_ms,
    jobs.c.deadline_ms,
    jobs.c.held_by,
)

JOB_AND_SPEC: Final = jobs.join(job_specs, job_specs.c.job == jobs.c.id)
"""Where the columns of `JOB_HEAD` come from."""

EXECUTION: Final = (
    executions.c.id,
    executions.c.job,
    executions.c.ordinal,
    executions.c.question,
    executions.c.persona,
    executions.c.model,
    executions.c.region_index,
    executions.c.arm,
    executions.c.repeat,
    executions.c.replica,
    executions.c.model_name,
    executions.c.weights_sha256,
    executions.c.region,
    executions.c.state,
    executions.c.version,
    executions.c.attempts,
    executions.c.not_before_ms,
    executions.c.hold_micro,
    executions.c.queued_ms,
    executions.c.finished_ms,
    executions.c.attempt,
    executions.c.failure,
)

ATTEMPT: Final = (
    attempts.c.id,
    attempts.c.execution,
    attempts.c.job,
    attempts.c.number,
    attempts.c.hive,
    attempts.c.lease_version,
    attempts.c.lease_until_ms,
    attempts.c.leased_ms,
    attempts.c.started_ms,
    attempts.c.finished_ms,
    attempts.c.queued_ms,
    attempts.c.grant_sha256,
    attempts.c.outcome,
    attempts.c.receipt,
    attempts.c.receipt_sha256,
    attempts.c.late_receipt_sha256,
    attempts.c.disclosure,
    attempts.c.prompt_tokens,
    attempts.c.completion_tokens,
    attempts.c.log_entry,
    attempts.c.disclosed,
)

EVENT: Final = (
    job_events.c.job,
    job_events.c.seq,
    job_events.c.at_ms,
    job_events.c.name,
    job_events.c.body,
)

HIVE: Final = (
    hives.c.id,
    hives.c.public_key,
    hives.c.name,
    hives.c.owner,
    hives.c.region,
    hives.c.status,
    hives.c.draining,
    hives.c.enrolled_ms,
    hives.c.epoch,
    hives.c.session_sha256,
    hives.c.linked,
    hives.c.last_contact_ms,
    hives.c.slots,
    hives.c.devices,
    hives.c.simulated,
    hives.c.address,
)

HIVE_MODEL: Final = (
    hive_models.c.name,
    hive_models.c.weights_sha256,
    hive_models.c.engine,
    hive_models.c.quantisation,
    hive_models.c.context_tokens,
    hive_models.c.bytes,
    hive_models.c.loaded,
)

TRUSTED_KEY: Final = (keys.c.public_key, keys.c.account, keys.c.key_id, keys.c.status, keys.c.added_ms)

API_KEY: Final = (
    api_keys.c.id,
    api_keys.c.account,
    api_keys.c.name,
    api_keys.c.token_start,
    api_keys.c.scopes,
    api_keys.c.models,
    api_keys.c.budget_micro,
    api_keys.c.spent_micro,
    api_keys.c.requests_per_minute,
    api_keys.c.tokens_per_minute,
    api_keys.c.created_ms,
    api_keys.c.expires_ms,
    api_keys.c.revoked_ms,
    api_keys.c.last_used_ms,
    exists().where(keys.c.account == api_keys.c.account, keys.c.status == "active").label("account_trusted"),
)


def job_head(row: Sequence[Any]) -> JobHead:
    return JobHead(*(*row[:11], JobState(row[11]), *row[12:18]))


def execution_row(row: Sequence[Any]) -> ExecutionRow:
    return ExecutionRow(*(*row[:13], ExecutionState(row[13]), *row[14:]))


def attempt_row(row: AnyRow) -> AttemptRow:
    return AttemptRow(*row)


def job_event(row: AnyRow) -> JobEvent:
    return JobEvent(*row)


def hive_row(row: AnyRow, models: Sequence[HiveModel]) -> HiveRow:
    *fields, devices, simulated, address = row
    return HiveRow(*(*fields, texts(devices), texts(simulated), tuple(models), address))


def hive_model(row: Sequence[Any]) -> HiveModel:
    return HiveModel(*row)


def trusted_key(row: AnyRow) -> TrustedKey:
    return TrustedKey(*row)


def api_key(row: AnyRow) -> ApiKey:
    models = None if row[5] is None else texts(row[5])
    return ApiKey(*(*row[:4], texts(row[4]), models, *row[6:14], bool(row[14])))


def api_key_values(key: ApiKey) -> dict[str, object]:
    """The columns of a new key, all but its token's digest."""
    values = {column.name: getattr(key, column.name) for column in API_KEY[:14]}
    models = None if key.models is None else json_text(key.models)
    return values | {"scopes": json_text(key.scopes), "models": models}


def log_row(row: AnyRow) -> LogRow:
    """From id, index, leaf, entry, salt, attempt; a stored entry of None stands for the leaf itself unless
    the row has neither attempt nor salt because it was adopted."""
    row_id, index, leaf, entry, salt, attempt = row
    return LogRow(row_id, index, leaf, entry, salt, attempt)


def texts(raw: str) -> tuple[str, ...]:
    return msgspec.json.decode(raw, type=tuple[str, ...])


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def job_row(row: AnyRow, progress: Progress) -> JobRow:
    """From the columns of `JOB_HEAD`, what is held and what is settled."""
    return JobRow(*(*row[:11], JobState(row[11]), *row[12:19], int(row[19]), progress))
