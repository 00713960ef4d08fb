"""T3: one attempt ends, its hold is settled or kept, its log entry is queued; in one transaction."""

from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam

from hivemark.coordinator.ports import NewLogEntry, Result, StateMoved
from hivemark.coordinator.store import apikeys, ledger, moves, rows
from hivemark.coordinator.store.database import AnyRow, Database
from hivemark.coordinator.store.log import add_to_queue
from hivemark.coordinator.store.tables import attempts
from hivemark.credits import book
from hivemark.jobs.lifecycle import (
    FINAL_EXECUTION_STATES,
    ExecutionEvent,
    ExecutionState,
    event_after_attempt,
)

_CLOSE: Final = (
    attempts.update()
    .where(attempts.c.id == bindparam("wanted"), attempts.c.outcome.is_(None))
    .values(
        outcome=bindparam("outcome_after"),
        finished_ms=bindparam("at_ms"),
        receipt=bindparam("receipt_after"),
        receipt_sha256=bindparam("receipt_digest"),
        disclosure=bindparam("disclosure_after"),
        prompt_tokens=bindparam("prompt"),
        completion_tokens=bindparam("completion"),
        charge_micro=bindparam("charge"),
        log_entry=bindparam("entry_id"),
        disclosed=bindparam("salts"),
    )
)
_NO_RECEIPT: Final = {
    "receipt_after": None,
    "receipt_digest": None,
    "disclosure_after": None,
    "prompt": None,
    "completion": None,
    "charge": 0,
}
_LATE: Final = (
    attempts.update()
    .where(attempts.c.id == bindparam("wanted"), attempts.c.late_receipt_sha256.is_(None))
    .values(late_receipt_sha256=bindparam("receipt_digest"))
)


class SqlResults:
    """`ports.ResultStore`."""

    _db: Database

    def record_result(self, result: Result) -> ExecutionState:
        return self._db.write(partial(_record_result, result))

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
        def operation(connection: Connection) -> ExecutionState:
            turn = moves.require_open(connection, attempt, lease_version)
            _close(connection, turn, "lost", now_ms, {**_NO_RECEIPT, "entry_id": log.id, "salts": disclosed})
            add_to_queue(connection, log, now_ms=now_ms)
            is_lost = event is ExecutionEvent.LEASE_LOST
            message = "the lease was lost" if is_lost else "the answer was cut off"
            failure = {"stage": "lease", "code": reason, "message": message, "transient": is_lost}
            return _end_attempt(
                connection,
                turn,
                event,
                now_ms=now_ms,
                not_before_ms=not_before_ms,
                failure=rows.json_text(failure),
                charge_micro=0,
                body=None,
            )

        return self._db.write(operation)

    def record_late(self, attempt: str, *, receipt_sha256: str, now_ms: int, log: NewLogEntry) -> bool:
        def operation(connection: Connection) -> bool:
            turn = moves.require_turn(connection, attempt)
            if turn.outcome is None:
                raise StateMoved(f"attempt {attempt} is open, its receipt is not late", code="lease_stands")
            if turn.receipt_sha256 == receipt_sha256:
                return False
            late = {"wanted": attempt, "receipt_digest": receipt_sha256}
            if connection.execute(_LATE, late).rowcount != 1:
                return False
            add_to_queue(connection, log, now_ms=now_ms)
            return True

        return self._db.write(operation)


def _record_result(result: Result, connection: Connection) -> ExecutionState:
    turn = moves.require_open(connection, result.attempt, result.lease_version)
    event = event_after_attempt(result.event, turn.number)
    # What will be tried again is not paid: the hold stays for the next attempt.
    paid = event is not ExecutionEvent.FAILED_TRANSIENT and event is not ExecutionEvent.ATTEMPTS_EXHAUSTED
    charge_micro = min(result.charge_micro, turn.hold_micro) if paid else 0
    _close(
        connection,
        turn,
        "accepted",
        result.now_ms,
        {
            "receipt_after": result.receipt,
            "receipt_digest": result.receipt_sha256,
            "disclosure_after": result.disclosure,
            "prompt": result.prompt_tokens,
            "completion": result.completion_tokens,
            "charge": charge_micro,
            "entry_id": result.log.id,
            "salts": result.disclosed,
        },
    )
    add_to_queue(connection, result.log, now_ms=result.now_ms)
    return _end_attempt(
        connection,
        turn,
        result.event,
        now_ms=result.now_ms,
        not_before_ms=result.not_before_ms,
        failure=result.failure,
        charge_micro=charge_micro,
        body=result.log_event_body,
    )


def _close(connection: Connection, turn: AnyRow, outcome: str, now_ms: int, facts: dict[str, object]) -> None:
    closed = connection.execute(
        _CLOSE, {"wanted": turn.attempt, "outcome_after": outcome, "at_ms": now_ms, **facts}
    )
    if closed.rowcount != 1:
        raise StateMoved(f"attempt {turn.attempt} was closed under its lock", code="attempt_moved")


def _end_attempt(
    connection: Connection,
    turn: AnyRow,
    event: ExecutionEvent,
    *,
    now_ms: int,
    not_before_ms: int,
    failure: str | None,
    charge_micro: int,
    body: str | None,
) -> ExecutionState:
    """Move the execution and, with its last cell, the job; settle what was held once it is final."""
    event = event_after_attempt(event, turn.number)
    state = moves.move_execution(
        connection, turn, event, now_ms=now_ms, not_before_ms=not_before_ms, failure=failure
    )
    job = moves.locked_job(turn)
    body = body or moves.event_body(turn, state, **moves.attempt_facts(turn), failure=failure)
    job.note(event.value, now_ms, body)
    if state in FINAL_EXECUTION_STATES:
        moves.finish_if_done(connection, job, now_ms=now_ms)
    moves.save_jobs(connection, [job])
    if state in FINAL_EXECUTION_STATES and turn.hold_micro:
        _settle(connection, turn, charge_micro, now_ms=now_ms)
    return state


def _settle(connection: Connection, turn: AnyRow, charge_micro: int, *, now_ms: int) -> None:
    """Pay the hive's pending and give the rest back, or give everything back."""
    apikeys.give_back(connection, turn.api_key, turn.hold_micro - charge_micro)
    escrow = book.escrow_account(turn.job)
    key = f"settle:{turn.execution}"
    if charge_micro:
        ledger.post(
            connection,
            (turn.account, escrow, book.pending_account(turn.hive)),
            lambda known: book.settle(
                known,
                turn.job,
                account=turn.account,
                hive=turn.hive,
                held_micro=turn.hold_micro,
                actual_micro=charge_micro,
                key=key,
                authority="service",
                tick_ms=now_ms,
            ),
        )
    else:
        ledger.post(
            connection,
            (turn.account, escrow),
            lambda known: book.void(
                known,
                turn.account,
                turn.job,
                turn.hold_micro,
                key=key,
                authority="service",
                tick_ms=now_ms,
            ),
        )
