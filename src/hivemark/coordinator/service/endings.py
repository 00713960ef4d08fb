"""How an attempt ends: pure decisions from its receipt and, for a call, from what its client was given."""

from dataclasses import dataclass, replace

from hivemark.coordinator.service.held import FAULTS, HeldCall
from hivemark.coordinator.service.receipts import Asked, Heard
from hivemark.coordinator.service.statements import Outcome
from hivemark.jobs.lifecycle import ExecutionEvent
from hivemark.protocol.bundle import Disclosed
from hivemark.protocol.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Ending:
    """What the acceptance says, and what happens to the execution."""

    outcome: Outcome
    event: ExecutionEvent


def ending_of(receipt: Receipt, asked: Asked, held: HeldCall | None) -> Ending:
    """A call whose client was given anything is never tried again, and one that nobody waits for neither."""
    if not asked.is_call:
        return Ending("accepted", _event(receipt))
    heard = asked.heard
    if heard is not None and heard.is_delivered(receipt):
        return Ending("accepted", ExecutionEvent.SUCCEEDED)
    outcome: Outcome = "accepted" if receipt.outcome == "failed" and _gave_nothing(heard) else "cut"
    if not is_tried_again(held):
        return Ending(outcome, _final(held))
    # A completed answer whose text never arrived is made anew: nobody else has it.
    return Ending(outcome, _event(receipt) if receipt.failure else ExecutionEvent.FAILED_TRANSIENT)


def ending_without_receipt(held: HeldCall | None, *, is_call: bool) -> Ending:
    """Its lease was lost, or its receipt does not hold."""
    if not is_call or is_tried_again(held):
        return Ending("lost", ExecutionEvent.LEASE_LOST)
    return Ending("cut", _final(held))


def is_tried_again(held: HeldCall | None) -> bool:
    """Whether a client still waits for a call, and was given nothing of it yet."""
    return held is not None and held.over is None and not held.relayed.begun


def _final(held: HeldCall | None) -> ExecutionEvent:
    if held is not None and (held.over is None or held.over in FAULTS):
        return ExecutionEvent.FAILED_PERMANENT
    return ExecutionEvent.CANCELLED


def _gave_nothing(heard: Heard | None) -> bool:
    return heard is None or not heard.delivered


def heard_of(held: HeldCall, attempt: str, *, salt: bytes) -> Heard:
    """What is known now of the stream of a call's attempt; nothing, if that has not been heard here."""
    if held.attempt != attempt:
        return Heard(output="", delivered="", is_complete=False, heard_bytes=0, given_tokens=0, salt=salt)
    relayed = held.relayed
    output, delivered = relayed.output, relayed.delivered
    return Heard(
        output=output,
        delivered=delivered,
        is_complete=relayed.complete,
        heard_bytes=relayed.unread_bytes + len((output if delivered == output else delivered).encode()),
        given_tokens=relayed.given_tokens,
        salt=salt,
    )


def with_texts(disclosed: Disclosed, asked: Asked) -> Disclosed:
    """The same with the texts of a call whose client asked for them to be kept."""
    heard = asked.heard
    assert heard is not None, "only what is known can be kept"
    request, output, delivered = disclosed.request, disclosed.output, disclosed.delivered
    return replace(
        disclosed,
        request=replace(request, value=asked.request) if request else None,
        output=replace(output, text=heard.output) if output and heard.is_complete else output,
        delivered=replace(delivered, text=heard.delivered) if delivered else None,
    )


def _event(receipt: Receipt) -> ExecutionEvent:
    if receipt.failure is None:
        return ExecutionEvent.SUCCEEDED
    if receipt.failure.transient:
        return ExecutionEvent.FAILED_TRANSIENT
    return ExecutionEvent.FAILED_PERMANENT
