"""The log's rows: T4 gives indices, T5 publishes, T6 releases what published entries settled.

Every write by a leader checks its epoch in the same statement that locks the leader row, so a leader that
was replaced can change nothing any more.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, func, or_, select

from hivemark.coordinator.ports import LogRow, LogState, NewLogEntry, StateMoved
from hivemark.coordinator.store import ledger
from hivemark.coordinator.store.database import AnyRow, Database
from hivemark.coordinator.store.tables import attempts, log_entries, log_leader, log_queue, log_rows
from hivemark.credits import book
from hivemark.errors import InvalidError
from hivemark.translog.tiles import ENTRY_BYTES_MAX

ADOPTED: Final = "adopted"
"""Prefix of the ids of rows that came back from the tiles; what they committed to is gone."""

_STATE: Final = select(
    log_leader.c.epoch,
    log_leader.c.size,
    log_leader.c.published_size,
    log_leader.c.published_root,
    log_leader.c.published_checkpoint,
)
_LEAD: Final = (
    log_leader.update()
    .where(or_(log_leader.c.holder == bindparam("name"), log_leader.c.until_ms <= bindparam("at_ms")))
    .values(
        epoch=log_leader.c.epoch + bindparam("step"),
        holder=bindparam("name"),
        until_ms=bindparam("lease_until_ms"),
    )
    .returning(log_leader.c.epoch)
)
_HOLDER: Final = select(log_leader.c.holder, log_leader.c.until_ms).with_for_update()
_LOCK: Final = select(log_leader).where(log_leader.c.epoch == bindparam("at_epoch")).with_for_update()
_GROW: Final = (
    log_leader.update()
    .where(log_leader.c.epoch == bindparam("at_epoch"), log_leader.c.size == bindparam("size_before"))
    .values(size=bindparam("size_after"))
)
_QUEUED: Final = (
    select(log_queue.c.seq, log_queue.c.row_id, log_rows.c.leaf, log_rows.c.attempt)
    .join(log_rows, log_rows.c.id == log_queue.c.row_id)
    .order_by(log_queue.c.seq)
)
_NEXT_QUEUED: Final = _QUEUED.limit(bindparam("page"))
_ADD_ROW: Final = log_rows.insert()
_ADD_TO_QUEUE: Final = log_queue.insert()
_ADD_ENTRIES: Final = log_entries.insert()
_TAKE_FROM_QUEUE: Final = log_queue.delete().where(log_queue.c.seq.in_(bindparam("seqs", expanding=True)))
_PUBLISH: Final = (
    log_leader.update()
    .where(
        log_leader.c.epoch == bindparam("at_epoch"),
        log_leader.c.size >= bindparam("size_after"),
        log_leader.c.published_size <= bindparam("size_after"),
    )
    .values(
        published_size=bindparam("size_after"),
        published_root=bindparam("root_after"),
        published_checkpoint=bindparam("checkpoint_after"),
    )
)
_LEAVES: Final = (
    select(log_entries.c.row_id, log_entries.c.idx, log_rows.c.leaf, log_rows.c.attempt)
    .join(log_rows, log_rows.c.id == log_entries.c.row_id)
    .where(log_entries.c.idx >= bindparam("start"), log_entries.c.idx < bindparam("end"))
    .order_by(log_entries.c.idx)
)
FULL_ROW: Final = select(
    log_rows.c.id,
    log_entries.c.idx,
    log_rows.c.leaf,
    log_rows.c.entry,
    log_rows.c.salt,
    log_rows.c.attempt,
).select_from(log_rows.outerjoin(log_entries, log_entries.c.row_id == log_rows.c.id))
_BY_ID: Final = FULL_ROW.where(log_rows.c.id == bindparam("wanted"))
_BY_INDEX: Final = FULL_ROW.where(log_entries.c.idx == bindparam("wanted"))
_NAME_ENTRY: Final = (
    attempts.update()
    .where(attempts.c.id == bindparam("wanted"), attempts.c.log_entry.is_(None))
    .values(log_entry=bindparam("entry_id"))
)
_EARNED: Final = (
    select(attempts.c.hive, func.sum(attempts.c.charge_micro))
    .select_from(
        log_entries.join(log_rows, log_rows.c.id == log_entries.c.row_id).join(
            attempts, attempts.c.log_entry == log_rows.c.id
        )
    )
    .where(
        log_rows.c.attempt == attempts.c.id,
        log_entries.c.idx >= bindparam("start"),
        log_entries.c.idx < bindparam("end"),
        attempts.c.charge_micro > 0,
    )
    .group_by(attempts.c.hive)
    .order_by(attempts.c.hive)
)
_RELEASED: Final = log_leader.update().values(released_size=bindparam("size_after"))


class SqlLog:
    """`ports.LogStore`."""

    _db: Database

    def log_state(self) -> LogState:
        return LogState(*self._db.read(lambda connection: connection.execute(_STATE).one()))

    def lead(self, *, holder: str, now_ms: int, lease_ms: int) -> int | None:
        def operation(connection: Connection) -> int | None:
            current = connection.execute(_HOLDER).one()
            renews = current.holder == holder and current.until_ms > now_ms
            values = {
                "name": holder,
                "at_ms": now_ms,
                "step": 0 if renews else 1,
                "lease_until_ms": now_ms + lease_ms,
            }
            return connection.execute(_LEAD, values).scalar_one_or_none()

        return self._db.write(operation)

    def assign(self, *, epoch: int, limit: int) -> Sequence[LogRow]:
        return self._db.write(partial(_assign, epoch, limit))

    def log_rows(self, *, start: int, end: int) -> Sequence[LogRow]:
        found = self._db.read(lambda c: c.execute(_LEAVES, {"start": start, "end": end}).all())
        return [LogRow(row.row_id, row.idx, row.leaf, None, None, row.attempt) for row in found]

    def publish(self, *, epoch: int, size: int, root: bytes, checkpoint: str) -> None:
        self._db.write(lambda connection: _publish(connection, epoch, size, root, checkpoint))

    def adopt(
        self, *, epoch: int, start: int, leaves: Sequence[bytes], checkpoint: str, size: int, root: bytes
    ) -> None:
        def operation(connection: Connection) -> None:
            state = _lock(connection, epoch)
            if state.size != start:
                raise StateMoved(f"the log has {state.size} indices, not {start}", code="log_moved")
            _adopt_leaves(connection, epoch, start, leaves)
            if start + len(leaves) == size:
                _publish(connection, epoch, size, root, checkpoint)

        self._db.write(operation)

    def log_row(self, row_id: str) -> LogRow | None:
        row = self._db.read(lambda c: c.execute(_BY_ID, {"wanted": row_id}).one_or_none())
        return log_row(row) if row is not None else None

    def log_row_by_index(self, index: int) -> LogRow | None:
        row = self._db.read(lambda c: c.execute(_BY_INDEX, {"wanted": index}).one_or_none())
        return log_row(row) if row is not None else None

    def queue_entry(self, entry: NewLogEntry, *, now_ms: int) -> None:
        self._db.write(lambda connection: queue_entry(connection, entry, now_ms=now_ms))

    def release(self, *, covered_size: int, now_ms: int, limit: int) -> int:
        return self._db.write(partial(_release, covered_size, now_ms, limit))


def queue_entry(connection: Connection, entry: NewLogEntry, *, now_ms: int) -> None:
    """Queue an entry that no result queues. One for an attempt claims it first, and is dropped when the
    attempt has its entry: two may find the same attempt without one."""
    if entry.attempt is not None:
        claim = {"wanted": entry.attempt, "entry_id": entry.id}
        if connection.execute(_NAME_ENTRY, claim).rowcount == 0:
            return
    add_to_queue(connection, entry, now_ms=now_ms)


def add_to_queue(connection: Connection, entry: NewLogEntry, *, now_ms: int) -> None:
    # Refused here, where whoever made it hears of it; in the queue it would stop the log.
    if len(entry.leaf) > ENTRY_BYTES_MAX:
        message = f"{len(entry.leaf)} bytes; a log entry has at most {ENTRY_BYTES_MAX}"
        raise InvalidError(message, code="entry_too_large")
    connection.execute(
        _ADD_ROW,
        {
            "id": entry.id,
            "leaf": entry.leaf,
            "entry": entry.entry if entry.entry != entry.leaf else None,
            "salt": entry.salt,
            "attempt": entry.attempt,
            "queued_ms": now_ms,
        },
    )
    connection.execute(_ADD_TO_QUEUE, {"row_id": entry.id})


def log_row(row: AnyRow) -> LogRow:
    """The entry of a public row is its leaf and stored once; that of an adopted row may be lost."""
    index = row.idx
    entry = row.entry
    if entry is None and not row.id.startswith(f"{ADOPTED}_"):
        entry = row.leaf
    return LogRow(row.id, index, row.leaf, entry, row.salt, row.attempt)


def _lock(connection: Connection, epoch: int) -> AnyRow:
    state = connection.execute(_LOCK, {"at_epoch": epoch}).one_or_none()
    if state is None:
        raise _fenced(epoch)
    return state


def _fenced(epoch: int) -> StateMoved:
    return StateMoved(f"epoch {epoch} leads the log no more", code="log_epoch_stale")


def _publish(connection: Connection, epoch: int, size: int, root: bytes, checkpoint: str) -> None:
    published = connection.execute(
        _PUBLISH,
        {"at_epoch": epoch, "size_after": size, "root_after": root, "checkpoint_after": checkpoint},
    )
    if published.rowcount != 1:
        raise _fenced(epoch)


def _assign(epoch: int, limit: int, connection: Connection) -> Sequence[LogRow]:
    state = _lock(connection, epoch)
    queued = connection.execute(_NEXT_QUEUED, {"page": limit}).all()
    if not queued:
        return []
    assigned = [
        LogRow(row.row_id, index, row.leaf, None, None, row.attempt)
        for index, row in enumerate(queued, state.size)
    ]
    _give_indices(connection, epoch, state.size, [row.row_id for row in queued])
    connection.execute(_TAKE_FROM_QUEUE, {"seqs": [row.seq for row in queued]})
    return assigned


def _give_indices(connection: Connection, epoch: int, start: int, row_ids: Sequence[str]) -> None:
    connection.execute(
        _ADD_ENTRIES, [{"idx": index, "row_id": row_id} for index, row_id in enumerate(row_ids, start)]
    )
    values = {"at_epoch": epoch, "size_before": start, "size_after": start + len(row_ids)}
    if connection.execute(_GROW, values).rowcount != 1:
        raise _fenced(epoch)


def _adopt_leaves(connection: Connection, epoch: int, start: int, leaves: Sequence[bytes]) -> None:
    """A row that still waits in the queue is recognised by its leaf, so that it is not logged twice."""
    if not leaves:
        return
    waiting = {row.leaf: row for row in connection.execute(_QUEUED)}
    row_ids: list[str] = []
    taken: list[int] = []
    for index, leaf in enumerate(leaves, start):
        known = waiting.pop(leaf, None)
        if known is not None:
            taken.append(known.seq)
            row_ids.append(known.row_id)
        else:
            row_ids.append(f"{ADOPTED}_{index}")
            row = {"id": row_ids[-1], "leaf": leaf, "entry": None, "salt": None, "attempt": None}
            connection.execute(_ADD_ROW, row | {"queued_ms": 0})
    _give_indices(connection, epoch, start, row_ids)
    if taken:
        connection.execute(_TAKE_FROM_QUEUE, {"seqs": taken})


def _release(covered_size: int, now_ms: int, limit: int, connection: Connection) -> int:
    state = connection.execute(select(log_leader).with_for_update()).one()
    start = state.released_size
    end = min(covered_size, state.published_size, start + limit)
    if end <= start:
        return 0
    for hive, earned_micro in connection.execute(_EARNED, {"start": start, "end": end}).all():
        key = f"release:{start}-{end}:{hive}"
        _pay(connection, hive, int(earned_micro), key=key, now_ms=now_ms)
    connection.execute(_RELEASED, {"size_after": end})
    return int(end - start)


def _pay(connection: Connection, hive: str, earned_micro: int, *, key: str, now_ms: int) -> None:
    ledger.post(
        connection,
        (book.pending_account(hive), book.hive_account(hive)),
        lambda known: book.release(known, hive, earned_micro, key=key, authority="service", tick_ms=now_ms),
    )
