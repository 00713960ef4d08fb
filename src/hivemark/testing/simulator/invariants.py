"""What has to hold of the disk at the end of every schedule, and what has to hold all along.

Read straight from the tables and recomputed with the pure rules, not through the services that wrote them.
Each check yields one line per broken promise.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, Table, select

from hivemark.coordinator.store.store import SqlStore
from hivemark.coordinator.store.tables import (
    accounts,
    attempts,
    book_head,
    book_transactions,
    executions,
    job_events,
    jobs,
    log_entries,
    log_rows,
    postings,
)
from hivemark.credits.book import Posting, Transaction, TransactionKind, fsck_book
from hivemark.errors import HivemarkError
from hivemark.jobs.completion import final_event
from hivemark.jobs.lifecycle import (
    ATTEMPTS_MAX,
    FINAL_EXECUTION_STATES,
    FINAL_JOB_STATES,
    JOB_CREATED,
    ExecutionState,
    JobEvent,
    JobState,
    after_job,
)
from hivemark.protocol.acceptance import Acceptance, verify_acceptance
from hivemark.protocol.entry import AttemptEntry, EnrolmentEntry, PrivateEntry, encode_private, parse_entry
from hivemark.testing.simulator.storage import Disk
from hivemark.translog.merkle import Frontier, leaf_hash
from hivemark.translog.policy import Policy

_OVERDUE_MS: Final = 4_000
"""A lease may outlive its end by one step of the reaper, and the moment it takes."""


def final_problems(
    disk: Disk, policy: Policy, *, acknowledged: Sequence[str], signed: Mapping[str, str]
) -> list[str]:
    """Every promise that is broken once all messages have flowed.

    `acknowledged` are the jobs whose users were told of them, `signed` the receipts (attempt → SHA-256 of
    the envelope) that hives had in their outboxes.
    """
    tables = _Tables(disk)
    log = list(_log_problems(disk, tables, policy))
    return [
        *_job_problems(tables, acknowledged),
        *_event_problems(tables),
        *_attempt_problems(tables, policy),
        *_receipt_problems(tables, signed),
        *_book_problems(tables),
        *log,
    ]


def lease_problems(store: SqlStore, hives: Sequence[str], *, now_ms: int) -> list[str]:
    """Leases that should have been taken back: nobody may wait for a hive that is gone."""
    return [
        f"attempt {attempt.id} of {hive} is open {now_ms - attempt.lease_until_ms} ms after its lease"
        for hive in hives
        for attempt in store.open_attempts(hive)
        if now_ms > attempt.lease_until_ms + _OVERDUE_MS
    ]


class _Tables:
    """The rows, read once."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.jobs = self._all(jobs)
        self.events = self._all(job_events)
        self.executions = self._all(executions)
        self.attempts = self._all(attempts)
        self.accounts = self._all(accounts)
        self.transactions = self._all(book_transactions)
        self.postings = self._all(postings)
        self.book = self._all(book_head)[0]
        self.log_rows = self._all(log_rows)
        self.log_entries = self._all(log_entries)

    def _all(self, table: Table) -> Sequence[Row[Any]]:
        ordered = select(table).order_by(*table.primary_key.columns)
        return self._disk.database.read(lambda connection: connection.execute(ordered).all())


def _job_problems(tables: _Tables, acknowledged: Sequence[str]) -> Iterator[str]:
    known = {job.id for job in tables.jobs}
    yield from (f"job {job} was acknowledged and is gone" for job in acknowledged if job not in known)
    cells = defaultdict(list)
    for execution in tables.executions:
        cells[execution.job].append(execution)
    for job in tables.jobs:
        if job.state not in FINAL_JOB_STATES:
            states = Counter(cell.state for cell in cells[job.id])
            yield f"job {job.id} is {job.state}, its cells are {dict(states)}"
        elif JobState(job.state) is not _expected(job, cells[job.id]):
            yield f"job {job.id} is {job.state}, its cells say {_expected(job, cells[job.id])}"


def _expected(job: Row[Any], cells: Sequence[Row[Any]]) -> JobState | None:
    event = final_event(
        Counter(ExecutionState(cell.state) for cell in cells),
        regions_completed=len({cell.region_index for cell in cells if cell.state == "completed"}),
        min_success_rate=job.min_success_rate,
        min_regions=job.min_regions,
        cancelled=job.state == "cancelled",
    )
    return None if event is None else after_job(JobState.EXECUTING, event)


def _event_problems(tables: _Tables) -> Iterator[str]:
    """A job's stream has no gap, and replaying it gives the job's state."""
    streams = defaultdict(list)
    for event in tables.events:
        streams[event.job].append(event)
    moves = {str(event): event for event in JobEvent}
    for job in tables.jobs:
        stream = streams[job.id]
        if [event.seq for event in stream] != list(range(1, job.event_seq + 1)):
            yield f"job {job.id}: its events are numbered {[event.seq for event in stream]}"
        if not stream or stream[0].name != JOB_CREATED:
            yield f"job {job.id}: its stream does not begin with {JOB_CREATED}"
            continue
        state = JobState.CREATED
        for event in stream:
            if event.name in moves:
                state = after_job(state, moves[event.name])
        if state != job.state:
            yield f"job {job.id} is {job.state}, its events say {state}"
        if stream[-1].name not in moves:
            yield f"job {job.id}: something happened after its end: {stream[-1].name}"


def _attempt_problems(tables: _Tables, policy: Policy) -> Iterator[str]:
    """Every attempt is closed and has one entry that is not late; an execution succeeds at most once."""
    logged, problems = _logged_outcomes(tables, policy)
    yield from problems
    numbers, successes = defaultdict(list), Counter[str]()
    for attempt in tables.attempts:
        numbers[attempt.execution].append(attempt.number)
        outcomes = logged.pop(attempt.id, [])
        on_time = [outcome for outcome in outcomes if outcome != "late"]
        if attempt.outcome is None:
            yield f"attempt {attempt.id} is still open"
        if len(on_time) != 1:
            yield f"attempt {attempt.id} ({attempt.outcome}) has the log entries {outcomes}"
        elif (attempt.outcome == "accepted") != (on_time[0] == "accepted"):
            yield f"attempt {attempt.id} is {attempt.outcome} and logged as {on_time[0]}"
        if outcomes.count("late") != (attempt.late_receipt_sha256 is not None):
            yield f"attempt {attempt.id}: a late receipt is logged {outcomes.count('late')} times"
        successes[attempt.execution] += attempt.charge_micro > 0
    yield from (f"log entries about an unknown attempt {attempt}" for attempt in logged)
    for execution in tables.executions:
        count = len(numbers[execution.id])
        if sorted(numbers[execution.id]) != list(range(1, count + 1)) or count > ATTEMPTS_MAX:
            yield f"execution {execution.id}: its attempts are numbered {sorted(numbers[execution.id])}"
        if execution.state not in FINAL_EXECUTION_STATES:
            yield f"execution {execution.id} is {execution.state}"
        if successes[execution.id] != (execution.state == "completed"):
            paid = successes[execution.id]
            yield f"execution {execution.id} is {execution.state}, {paid} attempts are paid"


def _receipt_problems(tables: _Tables, signed: Mapping[str, str]) -> Iterator[str]:
    """No receipt that was kept for delivery is missing: it was accepted or recorded as late."""
    recorded = {
        attempt.id: (attempt.receipt_sha256, attempt.late_receipt_sha256) for attempt in tables.attempts
    }
    for attempt, digest in signed.items():
        if digest not in recorded.get(attempt, ()):
            yield f"the receipt {digest[:8]}… of attempt {attempt} was never recorded"


def _logged_outcomes(tables: _Tables, policy: Policy) -> tuple[dict[str, list[str]], list[str]]:
    """Attempt → outcomes of its entries; private leaves are opened with their salts."""
    outcomes: dict[str, list[str]] = defaultdict(list)
    problems: list[str] = []
    for row in tables.log_rows:
        entry = row.entry if row.entry is not None else row.leaf
        try:
            if (
                isinstance(parse_entry(row.leaf), PrivateEntry)
                and encode_private(row.salt, entry) != row.leaf
            ):
                problems.append(f"log row {row.id}: the leaf does not commit to the entry")
            parsed = parse_entry(entry)
            if isinstance(parsed, EnrolmentEntry):
                continue
            assert isinstance(parsed, AttemptEntry)
            acceptance: Acceptance = verify_acceptance(parsed.acceptance.raw, policy.service_key)
        except HivemarkError as error:
            problems.append(f"log row {row.id}: {error}")
            continue
        if acceptance.attempt != row.attempt:
            problems.append(f"log row {row.id} of {row.attempt} is about {acceptance.attempt}")
        outcomes[acceptance.attempt].append(acceptance.outcome)
    return outcomes, problems


def _book_problems(tables: _Tables) -> Iterator[str]:
    """The book replays, nothing is left in escrow or pending, and hives earned what attempts cost."""
    balances = {account.id: account.balance_micro for account in tables.accounts}
    transactions = list(_transactions(tables))
    yield from fsck_book(transactions, balances)
    for name, balance_micro in balances.items():
        if name.startswith(("escrow:", "pending:")) and balance_micro:
            yield f"{balance_micro} µ are left in {name}"
    charged: Counter[str] = Counter()
    for attempt in tables.attempts:
        charged[f"hive:{attempt.hive}"] += attempt.charge_micro
    for name in sorted(charged.keys() | {name for name in balances if name.startswith("hive:")}):
        if charged[name] != balances.get(name, 0):
            yield f"{name} has {balances.get(name, 0)} µ, its attempts cost {charged[name]} µ"
    settled = Counter(row.key for row in transactions if row.kind is TransactionKind.SETTLE)
    yield from (f"{key} was booked {count} times" for key, count in settled.items() if count > 1)


def _transactions(tables: _Tables) -> Iterator[Transaction]:
    legs = defaultdict(list)
    for posting in tables.postings:
        legs[posting.seq].append(Posting(posting.account, posting.amount_micro, posting.account_seq))
    for row in tables.transactions:
        yield Transaction(
            network=tables.book.network,
            seq=row.seq,
            key=row.key,
            kind=TransactionKind(row.kind),
            authority=row.authority,
            tick_ms=row.tick_ms,
            postings=tuple(legs[row.seq]),
        )


def _log_problems(disk: Disk, tables: _Tables, policy: Policy) -> Iterator[str]:
    """Every row has an index, and every checkpoint ever signed is over a prefix of these very leaves."""
    leaves = {row.id: row.leaf for row in tables.log_rows}
    ordered = sorted(tables.log_entries, key=lambda entry: entry.idx)
    if [entry.idx for entry in ordered] != list(range(len(leaves))):
        yield f"{len(leaves)} log rows have the indices {[entry.idx for entry in ordered]}"
        return
    frontier, roots = Frontier(), [Frontier().root]
    for entry in ordered:
        frontier = frontier.append(leaf_hash(leaves[entry.row_id]))
        roots.append(frontier.root)
    signed = list(dict.fromkeys(disk.tiles.checkpoints))
    for raw in signed:
        try:
            checkpoint = policy.verify_checkpoint(raw).checkpoint
        except HivemarkError as error:
            yield f"a checkpoint does not hold: {error}"
            continue
        if checkpoint.size >= len(roots) or roots[checkpoint.size] != checkpoint.root:
            yield f"the checkpoint of {checkpoint.size} entries tells another history"
    newest = policy.verify_checkpoint(signed[-1]).checkpoint.size if signed else 0
    if newest != len(leaves):
        yield f"the newest checkpoint covers {newest} of {len(leaves)} entries"
