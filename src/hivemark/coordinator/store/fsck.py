"""Checks of everything that is stored against everything else that says the same: `hivemark fsck`.

Each check reads on a snapshot and reports problems in words; none repairs. Progress is (check, done, total).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from hivemark.coordinator.store.store import SqlStore
from hivemark.coordinator.store.tables import (
    accounts,
    api_keys,
    attempts,
    book_head,
    book_transactions,
    executions,
    job_events,
    jobs,
    log_entries,
    log_leader,
    log_queue,
    log_rows,
    postings,
)
from hivemark.credits.book import Posting, Transaction, TransactionKind, fsck_book
from hivemark.jobs.lifecycle import FINAL_EXECUTION_STATES, FINAL_JOB_STATES, ExecutionState

Progress: TypeAlias = Callable[[str, int, int], None]
_Check: TypeAlias = Callable[[Connection], Iterable[str]]

_FINAL_CELLS: Final = [state.value for state in FINAL_EXECUTION_STATES]
_FINAL_JOBS: Final = [state.value for state in FINAL_JOB_STATES]
_IN_HAND: Final = [ExecutionState.LEASED.value, ExecutionState.RUNNING.value]


def no_progress(_check: str, _done: int, _total: int) -> None:
    """For callers that show none."""


def check_database(store: SqlStore, *, progress: Progress = no_progress) -> list[str]:
    """Book, budgets, cells against jobs, attempts against cells, log rows against attempts; one line per
    problem."""
    checks: dict[str, _Check] = {
        "credit book": _check_book,
        "API keys": _check_api_keys,
        "jobs": _check_jobs,
        "event streams": _check_events,
        "attempts": _check_attempts,
        "log rows": _check_log_rows,
    }
    problems: list[str] = []
    for done, (name, check) in enumerate(checks.items()):
        progress(name, done, len(checks))
        problems.extend(store.database.read(partial(_run, check)))
    progress("database", len(checks), len(checks))
    return problems


def _run(check: _Check, connection: Connection) -> list[str]:
    return list(check(connection))


def _check_book(connection: Connection) -> Iterator[str]:
    head = connection.execute(select(book_head.c.network, book_head.c.seq)).one()
    balances = {row.id: row.balance_micro for row in connection.execute(accounts.select())}
    transactions = list(_transactions(connection, head.network))
    yield from fsck_book(transactions, balances)
    if head.seq != len(transactions):
        yield f"book: its head says {head.seq} transactions, there are {len(transactions)}"
    open_escrows = (
        select(accounts.c.id, accounts.c.balance_micro, _open_holds().label("expected"))
        .select_from(accounts.join(jobs, accounts.c.id == "escrow:" + jobs.c.id))
        .where(accounts.c.balance_micro != _open_holds())
    )
    for row in connection.execute(open_escrows):
        yield f"account {row.id}: {row.balance_micro} held, its open cells ask for {row.expected}"


def _check_api_keys(connection: Connection) -> Iterator[str]:
    used = (
        select(jobs.c.api_key, func.sum(_open_holds() + _charges()).label("micro"))
        .where(jobs.c.api_key.is_not(None))
        .group_by(jobs.c.api_key)
        .subquery()
    )
    differing = (
        select(used.c.api_key, used.c.micro, api_keys.c.id, api_keys.c.spent_micro)
        .select_from(used.outerjoin(api_keys, api_keys.c.id == used.c.api_key))
        .where(or_(api_keys.c.id.is_(None), api_keys.c.spent_micro != used.c.micro))
    )
    for row in connection.execute(differing):
        if row.id is None:
            yield f"API key {row.api_key}: jobs run under it, and there is no such key"
        else:
            yield f"API key {row.id}: says {row.spent_micro} spent, its jobs hold or cost {row.micro}"
    unused = select(api_keys.c.id, api_keys.c.spent_micro).where(
        api_keys.c.spent_micro != 0,
        ~select(jobs.c.id).where(jobs.c.api_key == api_keys.c.id).exists(),
    )
    for key, spent_micro in connection.execute(unused):
        yield f"API key {key}: says {spent_micro} spent, and no job runs under it"


def _charges() -> ColumnElement[int]:
    return (
        select(func.coalesce(func.sum(attempts.c.charge_micro), 0))
        .select_from(executions.join(attempts, attempts.c.execution == executions.c.id))
        .where(executions.c.job == jobs.c.id)
        .scalar_subquery()
    )


def _open_holds() -> ColumnElement[int]:
    return (
        select(func.coalesce(func.sum(executions.c.hold_micro), 0))
        .where(executions.c.job == jobs.c.id, executions.c.finished_ms.is_(None))
        .scalar_subquery()
    )


def _transactions(connection: Connection, network: str) -> Iterator[Transaction]:
    legs: dict[int, list[Posting]] = {}
    for row in connection.execute(postings.select().order_by(postings.c.seq)):
        legs.setdefault(row.seq, []).append(Posting(row.account, row.amount_micro, row.account_seq))
    for row in connection.execute(book_transactions.select().order_by(book_transactions.c.seq)):
        kind = TransactionKind(row.kind)
        own = tuple(legs.get(row.seq, ()))
        yield Transaction(network, row.seq, row.key, kind, row.authority, row.tick_ms, own)


def _check_jobs(connection: Connection) -> Iterator[str]:
    open_cells = (
        select(func.count())
        .where(executions.c.job == jobs.c.id, executions.c.finished_ms.is_(None))
        .scalar_subquery()
    )
    for row in connection.execute(select(jobs.c.id, jobs.c.state, open_cells.label("open"))):
        if (row.state in _FINAL_JOBS) != (row.open == 0):
            yield f"job {row.id}: is {row.state} with {row.open} open cells"


def _check_events(connection: Connection) -> Iterator[str]:
    streams = (
        select(jobs.c.id, jobs.c.event_seq, func.count(job_events.c.seq), func.max(job_events.c.seq))
        .select_from(jobs.outerjoin(job_events, job_events.c.job == jobs.c.id))
        .group_by(jobs.c.id, jobs.c.event_seq)
    )
    for job, stated, count, last in connection.execute(streams):
        if not stated == count == last:
            yield f"job {job}: {count} events, the last is number {last}, the job says {stated}"


def _check_attempts(connection: Connection) -> Iterator[str]:
    both = executions.outerjoin(
        attempts, and_(attempts.c.execution == executions.c.id, attempts.c.outcome.is_(None))
    )
    held = (
        select(executions.c.id, executions.c.state, func.count(attempts.c.id).label("open"))
        .select_from(both)
        .group_by(executions.c.id, executions.c.state)
    )
    for row in connection.execute(held):
        if row.open != (1 if row.state in _IN_HAND else 0):
            yield f"execution {row.id}: is {row.state} with {row.open} open attempts"
    counted = (
        select(executions.c.id, executions.c.attempts, func.count(attempts.c.id).label("rows"))
        .select_from(executions.outerjoin(attempts, attempts.c.execution == executions.c.id))
        .group_by(executions.c.id, executions.c.attempts)
    )
    for row in connection.execute(counted):
        if row.attempts != row.rows:
            yield f"execution {row.id}: counts {row.attempts} attempts, there are {row.rows}"
    decided = (
        select(executions.c.id, executions.c.state)
        .select_from(executions.outerjoin(attempts, attempts.c.id == executions.c.attempt))
        .where(
            executions.c.state == ExecutionState.COMPLETED.value,
            or_(attempts.c.outcome.is_(None), attempts.c.outcome != "accepted"),
        )
    )
    for row in connection.execute(decided):
        yield f"execution {row.id}: completed without an accepted receipt"


def _check_log_rows(connection: Connection) -> Iterator[str]:
    leader = connection.execute(log_leader.select()).one()
    count, last = connection.execute(
        select(func.count(), func.coalesce(func.max(log_entries.c.idx), -1))
    ).one()
    if not leader.size == count == last + 1:
        yield f"log: its head says {leader.size} entries, there are {count} up to index {last}"
    placed = (
        select(log_rows.c.id, log_entries.c.idx, log_queue.c.seq)
        .select_from(
            log_rows.outerjoin(log_entries, log_entries.c.row_id == log_rows.c.id).outerjoin(
                log_queue, log_queue.c.row_id == log_rows.c.id
            )
        )
        .where((log_entries.c.idx.is_(None)) == (log_queue.c.seq.is_(None)))
    )
    for row in connection.execute(placed):
        yield f"log row {row.id}: index {row.idx}, place in the queue {row.seq}; it must have one of them"
    missing = (
        select(attempts.c.id)
        .select_from(attempts.outerjoin(log_rows, log_rows.c.id == attempts.c.log_entry))
        .where(attempts.c.outcome.in_(["accepted", "lost"]), log_rows.c.id.is_(None))
    )
    for attempt in connection.execute(missing).scalars():
        yield f"attempt {attempt}: is closed and has no log row"
