"""A result that does not hold is refused by name, ends its attempt, and is never paid."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hivemark.api.link import Lease, Offer, OfferedModel, ResultFrame
from hivemark.coordinator.ports import JobRow
from hivemark.coordinator.service.access import ANYONE, Reader, Role
from hivemark.coordinator.service.receipts import ReceiptRefused
from hivemark.errors import NotFoundError
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.commitment import commit
from hivemark.protocol.dsse import ENVELOPE_BYTES_MAX
from hivemark.protocol.jobspec_members import Sampling
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import ClaimedRegion, Commitments, Prefix, QuestionRef, Usage

from .conftest import SALTS, WEIGHTS, TestHive, World, benchmark


def leased(world: World, **members: Any) -> tuple[JobRow, TestHive]:
    """A job of one execution, leased to a hive."""
    hive = world.hive().link()
    job = world.submit(benchmark(**members)).job
    hive.tick()
    assert len(hive.leases) == 1
    return job, hive


Change = Callable[[TestHive, Lease], ResultFrame]


def receipt(**changes: Any) -> Change:
    return lambda hive, lease: hive.result(lease, **changes)


def disclosed(**changes: Any) -> Change:
    def make(hive: TestHive, lease: Lease) -> ResultFrame:
        frame = hive.result(lease)
        return msgspec.structs.replace(frame, disclosure=msgspec.structs.replace(frame.disclosure, **changes))

    return make


def committed(**changes: Any) -> Change:
    def make(hive: TestHive, lease: Lease) -> ResultFrame:
        known: Commitments = hive.receipt(lease).commitments
        return hive.result(lease, commitments=msgspec.structs.replace(known, **changes))

    return make


def other_key(hive: TestHive, lease: Lease) -> ResultFrame:
    return hive.result(lease, key=PrivateKey.from_seed(b"\1" * 32))


def one_byte(hive: TestHive, lease: Lease) -> ResultFrame:
    frame = hive.result(lease)
    return msgspec.structs.replace(frame, envelope=frame.envelope.replace("A", "B", 1))


def no_base64(hive: TestHive, lease: Lease) -> ResultFrame:
    return msgspec.structs.replace(hive.result(lease), envelope="?")


def prefix(content: bytes, size: int) -> Change:
    one = Prefix(chunks=64, bytes=size, commitment=commit(SALTS["output"], content))
    return committed(prefixes=(one,))


REFUSED: dict[str, tuple[Change, str]] = {
    "signed by another key": (other_key, "receipt_key_mismatch"),
    "no base64": (no_base64, "receipt_base64_malformed"),
    "another network": (receipt(network="elsewhere"), "receipt_lease_mismatch"),
    "another job": (receipt(job="job_x"), "receipt_lease_mismatch"),
    "another execution": (receipt(execution="exe_x"), "receipt_lease_mismatch"),
    "another attempt": (receipt(attempt="att_x"), "receipt_lease_mismatch"),
    "another lease version": (receipt(lease_version=99), "receipt_lease_mismatch"),
    "another grant": (receipt(grant_sha256="0" * 64), "receipt_lease_mismatch"),
    "another region": (receipt(region=ClaimedRegion(claimed="EU")), "receipt_lease_mismatch"),
    "other weights": (receipt(model=TestHive.model("tiny", "0" * 64)), "receipt_model_mismatch"),
    "another model": (receipt(model=TestHive.model("huge", "0" * 64)), "receipt_model_mismatch"),
    "another seed": (receipt(seed=99), "receipt_request_mismatch"),
    "other sampling": (
        receipt(sampling=Sampling(temperature=1.0, max_tokens=256)),
        "receipt_request_mismatch",
    ),
    "another question": (receipt(question=None, absent={}), "receipt_request_mismatch"),
    "a question nobody can name": (
        receipt(
            question=QuestionRef(id="q", set_sha256=None, commitment=None),
            absent={"question.set_sha256": "posted", "question.commitment": "kept to itself"},
        ),
        "receipt_question_commitment",
    ),
    "a question of a set that it is not in": (
        receipt(
            question=QuestionRef(id="q", set_sha256="0" * 64, commitment=None),
            absent={"question.commitment": "published"},
        ),
        "receipt_request_mismatch",
    ),
    "another request": (committed(request="0" * 64), "receipt_request_commitment"),
    "another output": (disclosed(output="an answer!"), "receipt_output_commitment"),
    "no output": (disclosed(output=None), "receipt_disclosure_missing"),
    "another salt": (disclosed(output_salt=encode_base64(b"\0" * 32)), "receipt_output_commitment"),
    "a short salt": (disclosed(output_salt=encode_base64(b"\0" * 31)), "receipt_base64_malformed"),
    "no salt": (disclosed(token_ids_salt=None), "receipt_disclosure_missing"),
    "other tokens": (disclosed(token_ids=(1, 2)), "receipt_token_ids_commitment"),
    "another prefix": (prefix(b"wrong", 2), "receipt_output_commitment"),
    "a prefix beyond the end": (prefix(b"an answer", 10), "receipt_output_commitment"),
    "too many prompt tokens": (
        receipt(usage=Usage(prompt_tokens=20 + 64 + 1, completion_tokens=1)),
        "receipt_usage_out_of_bounds",
    ),
    "too many completion tokens": (
        receipt(usage=Usage(prompt_tokens=1, completion_tokens=257)),
        "receipt_usage_out_of_bounds",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_result_that_does_not_hold_is_refused(world: World, why: str) -> None:
    change, code = REFUSED[why]
    job, hive = leased(world)

    with pytest.raises(ReceiptRefused) as caught:
        hive.deliver(change(hive, hive.leases[0]))

    assert caught.value.code == code
    assert world.executions(job.id) == ["queued"]
    assert world.outcomes() == ["no_receipt"]
    assert world.store.balance(f"hive:{hive.id}")[0] == 0
    with pytest.raises(ReceiptRefused):
        hive.deliver(change(hive, hive.leases[0]))
    assert world.outcomes() == []


def test_a_changed_byte_of_the_envelope_is_refused(world: World) -> None:
    _, hive = leased(world)
    with pytest.raises(ReceiptRefused):
        hive.deliver(one_byte(hive, hive.leases[0]))


def test_an_attempt_of_another_hive_is_unknown(world: World) -> None:
    _, hive = leased(world)
    thief = world.hive()
    frame = hive.result(hive.leases[0])
    with pytest.raises(NotFoundError) as caught:
        thief.deliver(frame)
    assert caught.value.code == "unknown_attempt"
    assert hive.deliver(frame) == "accepted"


def test_an_accepted_result_is_paid_once_and_its_text_kept(world: World) -> None:
    job, hive = leased(world)
    frame = hive.result(hive.leases[0], output="four 🐝")

    assert hive.deliver(frame) == "accepted"
    assert hive.deliver(frame) == "duplicate"

    done = world.store.job(job.id)
    assert done is not None
    assert (done.state, done.held_micro, done.settled_micro) == ("completed", 0, 5 * 80 + 3 * 500)
    (shown,) = world.services.jobs.executions(Reader(account=job.account), job=done, before=None, limit=9)
    assert shown.output == "four 🐝"
    assert world.outcomes() == ["accepted"]


def test_a_permanent_failure_is_final_and_costs_nothing(world: World) -> None:
    job, hive = leased(world)

    assert hive.deliver(hive.failed(hive.leases[0], transient=False)) == "accepted"

    done = world.store.job(job.id)
    assert done is not None
    assert (done.state, done.held_micro, done.settled_micro) == ("failed", 0, 0)
    assert world.executions(job.id) == ["failed"]


def test_a_transient_failure_is_tried_again_after_a_pause(world: World) -> None:
    job, hive = leased(world)

    hive.deliver(hive.failed(hive.leases[0], transient=True))

    assert world.executions(job.id) == ["queued"]
    hive.tick()
    assert len(hive.leases) == 1
    world.wait(0.5)
    hive.tick()
    assert hive.deliver(hive.result(hive.leases[1])) == "accepted"
    assert world.executions(job.id) == ["completed"]


def test_a_charge_never_exceeds_the_hold(world: World) -> None:
    job, hive = leased(world, execution={"sampling": {"max_tokens": 3}})
    hive.deliver(hive.result(hive.leases[0], usage=Usage(prompt_tokens=84, completion_tokens=3)))
    done = world.store.job(job.id)
    assert done is not None
    assert done.settled_micro == 84 * 80 + 3 * 500


@pytest.mark.parametrize(("output", "billed"), [("", 4), ("four", 8), ("an answer", 13), ("x" * 256, 256)])
def test_tokens_that_the_answer_cannot_hold_are_not_billed(world: World, output: str, billed: int) -> None:
    job, hive = leased(world)
    usage = Usage(prompt_tokens=5, completion_tokens=256)
    hive.deliver(hive.result(hive.leases[0], output=output, usage=usage))
    done = world.store.job(job.id)
    assert done is not None
    assert done.settled_micro == 5 * 80 + billed * 500


def test_more_token_ids_than_were_asked_for_are_refused(world: World) -> None:
    _, hive = leased(world, execution={"sampling": {"max_tokens": 2}})
    with pytest.raises(ReceiptRefused) as caught:
        hive.deliver(hive.result(hive.leases[0], usage=Usage(prompt_tokens=5, completion_tokens=2)))
    assert (caught.value.code, caught.value.field) == (
        "receipt_usage_out_of_bounds",
        "disclosure.token_ids",
    )


def test_an_output_longer_than_its_tokens_can_make_is_refused(world: World) -> None:
    _, hive = leased(world, execution={"sampling": {"max_tokens": 2}})
    usage = Usage(prompt_tokens=5, completion_tokens=2)
    with pytest.raises(ReceiptRefused) as caught:
        hive.deliver(hive.result(hive.leases[0], output="x" * (2 * 1_024 + 1), usage=usage))
    assert (caught.value.code, caught.value.field) == ("receipt_output_out_of_bounds", "disclosure.output")


def test_a_hive_that_moves_after_its_lease_has_not_run_in_the_region_asked_for(world: World) -> None:
    job, hive = leased(world, constraints={"regions": ["US"]})
    model = OfferedModel(name="tiny", weights_sha256=WEIGHTS, engine="test")
    hive.send(Offer(name="attic", region="ASIA", slots=4, models=(model,)))
    with pytest.raises(ReceiptRefused) as caught:
        hive.deliver(hive.result(hive.leases[0], region=ClaimedRegion(claimed="ASIA")))
    assert (caught.value.code, caught.value.field) == ("receipt_lease_mismatch", "predicate.region.claimed")
    assert world.executions(job.id) == ["queued"]


def test_a_receipt_too_large_for_the_log_is_refused(world: World) -> None:
    job, hive = leased(world, execution={"sampling": {"max_tokens": 32_768}})
    one = commit(SALTS["output"], b"")
    known = hive.receipt(hive.leases[0]).commitments

    def frame_with(count: int) -> ResultFrame:
        prefixes = tuple(Prefix(chunks=64 * n, bytes=0, commitment=one) for n in range(1, count + 1))
        return hive.result(hive.leases[0], commitments=msgspec.structs.replace(known, prefixes=prefixes))

    # The envelope just fits, so the entry around it does not.
    count = next(n for n in range(480, 0, -1) if len(frame_with(n).envelope) * 3 / 4 < ENVELOPE_BYTES_MAX)
    frame = frame_with(count)
    with pytest.raises(ReceiptRefused) as caught:
        hive.deliver(frame)
    assert caught.value.reason == "entry_too_large"
    assert world.executions(job.id) == ["queued"]


def test_what_was_disclosed_is_read_back_by_the_account_alone(world: World) -> None:
    job, hive = leased(world)
    hive.deliver(hive.result(hive.leases[0], output="four"))
    jobs = world.services.jobs
    own = Reader(account=job.account)

    assert jobs.executions(own, job=job, before=None, limit=10)[0].output == "four"
    assert jobs.executions(Reader(role=Role.ADMIN), job=job, before=None, limit=10)[0].output is None
    with pytest.raises(NotFoundError):
        jobs.find(job.id, ANYONE)
    with pytest.raises(NotFoundError):
        jobs.execution(jobs.executions(own, job=job, before=None, limit=1)[0].execution.id, ANYONE)


def test_disclosure_without_commitments_is_not_kept(world: World) -> None:
    job, hive = leased(world)
    frame = hive.failed(hive.leases[0], transient=False)
    extra = msgspec.structs.replace(frame.disclosure, output="uncommitted text")
    hive.deliver(msgspec.structs.replace(frame, disclosure=extra))
    own = world.services.jobs.executions(Reader(account=job.account), job=job, before=None, limit=1)[0]
    assert own.output is None
