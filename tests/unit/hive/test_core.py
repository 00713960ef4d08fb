"""The conduct of a hive, driven by hand: facts in, effects out."""

import hashlib
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.api.handshake import Transcript
from hivemark.api.link import (
    PROTOCOL_VERSION,
    Cancel,
    Challenge,
    CoordinatorFrame,
    Declined,
    Drain,
    Heartbeat,
    HeldAttempt,
    Hello,
    HiveFrame,
    Lease,
    Offer,
    OfferedModel,
    Proof,
    Reconcile,
    Refused,
    ResultAnswer,
    Started,
    Verdicts,
    Welcome,
)
from hivemark.hive.core import RESULTS_MAX, HiveCore, HiveIdentity, WaitingResult
from hivemark.hive.effects import (
    CloseLink,
    ForgetResult,
    GiveUp,
    PostResult,
    Reconnect,
    SendFrame,
    ShelveResult,
    StartAttempt,
    StopAttempt,
)
from hivemark.hive.results_book import POSTS_AT_ONCE_MAX
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.grant import Grant, GrantedModel, sign_grant
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.shape import from_shape

HIVE_KEY = PrivateKey.from_seed(b"h" * 32)
SERVICE_KEY = PrivateKey.from_seed(b"s" * 32)
NETWORK = "home-test"
DIGEST = "d" * 64
IDENTITY = HiveIdentity(HIVE_KEY, NETWORK, SERVICE_KEY.public, "hivemark/test")
MODEL = OfferedModel(name="tiny", weights_sha256=DIGEST, engine="worker")
OFFER = Offer(name="attic", region="US", slots=2, models=(MODEL,))
BODY = bytes(range(32))


def middling(count):
    return b"\x80" * count


class Bench:
    """A core and the coordinator's end of its link."""

    def __init__(self, *, waiting=(), offer=OFFER):
        self.core = HiveCore(IDENTITY, offer, random=middling, waiting=waiting)
        self.mono_ms = 1_000
        self.epoch = 0
        self.sent = 0
        self.received = 0

    def hello(self):
        (sent,) = self.core.opened(mono_ms=self.mono_ms)
        return msgspec.json.decode(sent.text, type=Hello)

    def challenge(self, hello, *, key=SERVICE_KEY, **changes):
        transcript = self.transcript(hello, key=key)
        members = {
            "network": NETWORK,
            "service_key": transcript.service_key,
            "nonce": transcript.service_nonce,
            "signature": transcript.sign("service", key),
        }
        return self.bare(Challenge(**{**members, **changes}))

    @staticmethod
    def transcript(hello, *, key=SERVICE_KEY):
        return Transcript(
            network=NETWORK,
            hive=hello.hive,
            hive_key=hello.public_key,
            service_key=key.public.base64,
            hive_nonce=hello.nonce,
            service_nonce=encode_base64(BODY),
            protocol=PROTOCOL_VERSION,
        )

    def bare(self, message):
        return self.core.frame_received(msgspec.json.encode(message), mono_ms=self.mono_ms)

    def link(self):
        """Handshake to the end; the bodies and other effects that follow the welcome."""
        hello = self.hello()
        (proof,) = self.challenge(hello)
        signature = msgspec.json.decode(proof.text, type=Proof).signature
        self.transcript(hello).verify("hive", signature)
        self.epoch += 1
        self.sent = self.received = 0
        welcome = Welcome(
            epoch=self.epoch, session_token=f"s{self.epoch}", heartbeat_s=3.0, lease_ttl_s=15.0, now_ms=1
        )
        return self.read(self.bare(welcome))

    def say(self, body, *, epoch=None, seq=None, ack=None):
        self.sent += 1
        frame = CoordinatorFrame(
            epoch=epoch or self.epoch,
            seq=seq or self.sent,
            ack=self.received if ack is None else ack,
            body=body,
        )
        return self.read(self.core.frame_received(msgspec.json.encode(frame), mono_ms=self.mono_ms))

    def read(self, effects):
        """Bodies instead of frames, checked for their numbering."""
        read = []
        for effect in effects:
            if isinstance(effect, SendFrame):
                frame = msgspec.json.decode(effect.text, type=HiveFrame)
                self.received += 1
                assert (frame.epoch, frame.seq) == (self.epoch, self.received)
                effect = frame.body
            read.append(effect)
        return read

    def tick(self, after_ms=0):
        self.mono_ms += after_ms
        return self.read(self.core.tick(mono_ms=self.mono_ms))

    def run(self, attempt="att_1"):
        """Lease and start an attempt."""
        (start,) = self.say(lease(attempt))
        assert isinstance(start, StartAttempt)
        assert self.read(self.core.attempt_started(attempt)) == [Started(attempt=attempt, lease_version=2)]

    def finish(self, attempt="att_1"):
        return self.read(self.core.attempt_finished(attempt, mono_ms=self.mono_ms))


def lease(attempt="att_1", *, grant_changes=None, **changes):
    request = {
        "model": {"name": "tiny", "weights_sha256": DIGEST},
        "messages": [{"role": "user", "content": "hi"}],
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8, "stop": []},
        "seed": 7,
        "question": None,
    }
    request |= changes.pop("request", {})
    grant = Grant(
        network=NETWORK,
        job="job_1",
        execution="exe_1",
        attempt=attempt,
        lease_version=2,
        hive=IDENTITY.id,
        model=GrantedModel(**request["model"]) if request["model"] else None,
        spec_sha256="0" * 64,
        request_sha256=hashlib.sha256(encode_canonical(request)).hexdigest(),
        seed=7,
        expires="2026-11-20T20:10:29.123Z",
        nonce=encode_base64(BODY),
    )
    signed = sign_grant(msgspec.structs.replace(grant, **(grant_changes or {})), SERVICE_KEY)
    members = {
        "job": "job_1",
        "execution": "exe_1",
        "attempt": attempt,
        "lease_version": 2,
        "lease_until_ms": 16_000,
        "grant": from_shape(signed.grant),
        "grant_signature": signed.signature,
        "request": request,
        "result_url": f"/r/{attempt}",
        "first_token_timeout_s": 10.0,
        "stall_timeout_s": 10.0,
        "run_timeout_s": 30.0,
    }
    return Lease(**{**members, **changes})


def declined(effects):
    (effect,) = effects
    assert isinstance(effect, Declined)
    return effect.code


# ── handshake ────────────────────────────────────────────────────────────────────────────────────


def test_a_new_link_begins_with_everything_that_is_held_and_then_the_offer():
    bench = Bench(waiting=[WaitingResult("att_0", 4, "/r/att_0")])
    held = HeldAttempt(attempt="att_0", lease_version=4, finished=True)
    assert bench.link() == [Reconcile(held=(held,)), OFFER, PostResult("att_0", "/r/att_0", "s1", 1)]
    assert bench.core.linked and bench.core.epoch == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"network": "other"}, "network_mismatch"),
        ({"service_key": HIVE_KEY.public.base64}, "service_key_mismatch"),
        ({"signature": encode_base64(b"\1" * 64)}, "signature_invalid"),
        ({"signature": "?"}, "signature_malformed"),
        ({"nonce": encode_base64(b"short")}, "nonce_malformed"),
        ({"nonce": encode_base64(b"\7" * 32)}, "signature_invalid"),
    ],
)
def test_a_service_that_does_not_prove_itself_gets_no_proof(changes, code):
    bench = Bench()
    (closed,) = bench.challenge(bench.hello(), **changes)
    assert isinstance(closed, CloseLink) and closed.code == code


def test_another_service_key_is_not_believed_however_well_it_signs():
    bench = Bench()
    (closed,) = bench.challenge(bench.hello(), key=PrivateKey.from_seed(b"x" * 32))
    assert closed.code == "service_key_mismatch"


def test_a_welcome_before_the_proof_is_out_of_turn():
    bench = Bench()
    bench.hello()
    welcome = Welcome(epoch=1, session_token="s", heartbeat_s=3, lease_ttl_s=15, now_ms=1)
    (closed,) = bench.bare(welcome)
    assert closed.code == "out_of_turn"


def test_a_handshake_that_does_not_go_on_is_given_up():
    bench = Bench()
    bench.hello()
    assert bench.tick(9_999) == []
    (closed,) = bench.tick(1)
    assert closed.code == "handshake_timeout"


def test_a_retryable_refusal_leads_to_another_try_and_a_final_one_ends_the_hive():
    bench = Bench()
    bench.hello()
    (closed,) = bench.bare(Refused(code="maintenance", message="later", retryable=True))
    assert closed == CloseLink("maintenance", "later")
    assert isinstance(bench.core.closed()[0], Reconnect)
    bench.hello()
    closed, given_up = bench.bare(Refused(code="revoked", message="gone", retryable=False))
    assert isinstance(closed, CloseLink) and given_up == GiveUp("revoked", "gone")
    assert bench.core.closed() == []


def test_waiting_grows_with_failures_up_to_ten_seconds_and_shrinks_only_after_a_link_that_lasted():
    bench = Bench()
    delays = [bench.core.closed()[0].after_s for _ in range(10)]
    assert delays[0] == pytest.approx(0.15) and delays[-1] == pytest.approx(7.5, rel=0.01)
    assert delays == sorted(delays)
    bench.link()
    assert bench.core.closed()[0].after_s == pytest.approx(7.5, rel=0.01)
    bench.link()
    bench.tick(3_000)
    assert bench.core.closed()[0].after_s == pytest.approx(0.15)


# ── the standing link ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"type":"lease"}', b"\xff\xfe", b"null"])
def test_garbage_closes_the_link(raw):
    bench = Bench()
    bench.link()
    (closed,) = bench.core.frame_received(raw, mono_ms=bench.mono_ms)
    assert isinstance(closed, CloseLink)
    assert bench.core.frame_received(b"{}", mono_ms=bench.mono_ms) == []


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_the_core(raw, linked):
    bench = Bench()
    if linked:
        bench.link()
    else:
        bench.hello()
    (closed,) = bench.core.frame_received(raw, mono_ms=bench.mono_ms)
    assert isinstance(closed, CloseLink)


def test_a_frame_of_an_older_epoch_closes_the_link():
    bench = Bench()
    bench.link()
    bench.core.closed()
    bench.link()
    (closed,) = bench.say(Drain(on=True), epoch=1)
    assert closed.code == "epoch_stale" and not bench.core.draining


def test_a_missing_frame_closes_the_link():
    bench = Bench()
    bench.link()
    (closed,) = bench.say(Drain(on=True), seq=2)
    assert closed.code == "frame_missing"


def test_a_repeated_frame_is_ignored():
    bench = Bench()
    bench.link()
    bench.run()
    assert bench.say(lease("att_2"), seq=1) == []


def test_a_silent_link_is_closed():
    bench = Bench()
    bench.link()
    for _ in range(3):
        assert isinstance(bench.tick(3_000)[0], Heartbeat)
    (closed,) = bench.tick(1_000)
    assert closed.code == "link_silent"


def test_heartbeats_name_what_runs_and_what_waits():
    bench = Bench(waiting=[WaitingResult("att_0", 4, "/r/att_0")])
    bench.link()
    bench.run()
    (beat,) = bench.tick(3_000)
    assert {(item.attempt, item.finished) for item in beat.held} == {("att_1", False), ("att_0", True)}
    assert beat.load == 0.5
    assert bench.tick(2_999) == []


def test_a_changed_offer_is_sent_at_once_and_an_equal_one_not():
    bench = Bench()
    bench.link()
    smaller = msgspec.structs.replace(OFFER, models=())
    assert bench.read(bench.core.offer_changed(OFFER)) == []
    assert bench.read(bench.core.offer_changed(smaller)) == [smaller]
    bench.core.closed()
    assert bench.core.offer_changed(OFFER) == []
    assert bench.link()[1] == OFFER


# ── leases ───────────────────────────────────────────────────────────────────────────────────────


def test_a_lease_starts_an_attempt_and_a_repeated_one_changes_nothing():
    bench = Bench()
    bench.link()
    bench.run()
    assert bench.say(lease()) == []
    assert bench.core.running == ("att_1",)


@pytest.mark.parametrize(
    "changes",
    [
        {"grant_changes": {"network": "other"}},
        {"grant_changes": {"hive": "hive_other"}},
        {"grant_changes": {"lease_version": 3}},
        {"grant_changes": {"seed": 8}},
        {"grant_changes": {"request_sha256": "1" * 64}},
        {"grant_changes": {"model": None}},
        {"execution": "exe_2"},
        {"lease_version": 3},
    ],
)
def test_a_grant_for_something_else_is_declined(changes):
    bench = Bench()
    bench.link()
    assert declined(bench.say(lease(**changes))) == "grant_mismatch"


def test_a_grant_signed_by_another_key_is_declined():
    bench = Bench()
    bench.link()
    assert declined(bench.say(lease(grant_signature=encode_base64(b"\1" * 64)))) == "signature_invalid"


def test_a_model_that_is_not_offered_is_declined_and_an_unpinned_one_goes_by_name():
    bench = Bench()
    bench.link()
    other = {"model": {"name": "tiny", "weights_sha256": "e" * 64}}
    assert declined(bench.say(lease(request=other))) == "model_not_offered"
    unpinned = {"model": {"name": "tiny", "weights_sha256": None}}
    (start,) = bench.say(lease("att_2", request=unpinned))
    assert isinstance(start, StartAttempt)


def test_a_lease_beyond_the_slots_is_declined():
    bench = Bench()
    bench.link()
    bench.run("att_1")
    bench.run("att_2")
    assert declined(bench.say(lease("att_3"))) == "no_slot"
    bench.finish("att_1")
    assert isinstance(bench.say(lease("att_4"))[0], StartAttempt)


def test_a_full_outbox_takes_no_more_leases():
    bench = Bench(waiting=[WaitingResult(f"att_{i:06}", 2, "/r") for i in range(RESULTS_MAX)])
    bench.link()
    assert declined(bench.say(lease())) == "outbox_full"


def test_a_stopping_hive_gives_back_what_runs():
    bench = Bench()
    bench.link()
    bench.run()
    stopped, back = bench.read(bench.core.stop())
    assert stopped == StopAttempt("att_1") and back.code == "stopping"
    assert declined(bench.say(lease("att_2"))) == "stopping"


# ── losing the link ──────────────────────────────────────────────────────────────────────────────


def test_a_lost_link_stops_nothing_and_the_next_one_says_so_again():
    bench = Bench()
    bench.link()
    bench.run()
    bench.core.closed()
    assert bench.core.running == ("att_1",)
    held = HeldAttempt(attempt="att_1", lease_version=2, finished=False)
    assert bench.link()[0] == Reconcile(held=(held,))
    assert bench.say(Verdicts(proceed=("att_1",), drop=())) == [Started(attempt="att_1", lease_version=2)]
    assert bench.say(Verdicts(proceed=("att_1",), drop=())) == []


def test_a_dropped_attempt_stops_and_leaves_no_result():
    bench = Bench()
    bench.link()
    bench.run()
    assert bench.say(Verdicts(proceed=(), drop=("att_1", "att_9"))) == [StopAttempt("att_1")]
    assert bench.finish() == [ForgetResult("att_1")]  # it crossed the drop
    assert bench.core.results_waiting == 0


@pytest.mark.parametrize("order", [Cancel(attempt="att_1"), Verdicts(proceed=(), drop=("att_1",))])
def test_a_finished_attempt_is_delivered_whatever_the_coordinator_says_of_its_lease(order):
    bench = Bench()
    bench.link()
    bench.run()
    bench.finish()
    assert bench.say(order) == []
    assert bench.core.results_waiting == 1


@pytest.mark.parametrize("order", [Cancel(attempt="att_1"), Verdicts(proceed=(), drop=("att_1",))])
def test_a_receipt_on_its_way_into_the_outbox_is_not_lost_to_a_drop(order):
    bench = Bench()
    bench.link()
    bench.run()
    assert bench.core.attempt_signed("att_1") == []
    assert bench.say(order) == []
    (post,) = bench.finish()
    assert isinstance(post, PostResult)
    assert bench.core.results_waiting == 1


def test_a_cancelled_attempt_stops():
    bench = Bench()
    bench.link()
    bench.run()
    assert bench.say(Cancel(attempt="att_1")) == [StopAttempt("att_1")]
    assert bench.say(Cancel(attempt="att_1")) == []


def test_what_finishes_while_the_link_is_down_is_posted_on_the_next_one():
    bench = Bench()
    bench.link()
    bench.run()
    bench.core.closed()
    assert bench.finish() == []
    assert bench.link()[2:] == [PostResult("att_1", "/r/att_1", "s2", 2)]


# ── results ──────────────────────────────────────────────────────────────────────────────────────


def posted(bench):
    bench.link()
    bench.run()
    assert bench.finish() == [PostResult("att_1", "/r/att_1", "s1", 1)]


@pytest.mark.parametrize("outcome", ["accepted", "late", "duplicate"])
def test_an_answered_result_is_forgotten(outcome):
    bench = Bench()
    posted(bench)
    answer = ResultAnswer(attempt="att_1", outcome=outcome)
    assert bench.core.result_answered(answer, mono_ms=bench.mono_ms) == [ForgetResult("att_1")]
    assert bench.core.result_answered(answer, mono_ms=bench.mono_ms) == []


def test_a_result_put_off_is_posted_again_later_and_only_then():
    bench = Bench()
    posted(bench)
    bench.core.result_put_off("att_1", mono_ms=bench.mono_ms)
    assert bench.tick(374) == []
    assert bench.tick(1) == [PostResult("att_1", "/r/att_1", "s1", 1)]
    assert bench.tick(10) == []  # in flight
    bench.core.result_put_off("att_1", mono_ms=bench.mono_ms, retry_after_s=2.5)
    assert bench.tick(2_400) == []
    assert PostResult("att_1", "/r/att_1", "s1", 1) in bench.tick(100)


def test_a_stale_token_is_not_tried_again_within_its_epoch():
    bench = Bench()
    posted(bench)
    bench.core.result_stale("att_1", epoch=1)
    bench.say(Verdicts(proceed=(), drop=()))
    assert [e for e in bench.tick(5_000) if isinstance(e, PostResult)] == []
    bench.core.closed()
    assert PostResult("att_1", "/r/att_1", "s2", 2) in bench.link()


def test_a_refused_result_is_shelved():
    bench = Bench()
    posted(bench)
    effects = bench.core.result_refused("att_1", code="receipt_invalid", mono_ms=bench.mono_ms)
    assert effects == [ShelveResult("att_1", "receipt_invalid")]
    assert bench.core.results_waiting == 0


def test_only_so_many_results_are_posted_at_once_and_each_answer_makes_room():
    waiting = [WaitingResult(f"att_{i}", 2, "/r") for i in range(POSTS_AT_ONCE_MAX + 3)]
    bench = Bench(waiting=waiting)
    posts = [effect for effect in bench.link() if isinstance(effect, PostResult)]
    assert [post.attempt for post in posts] == [item.attempt for item in waiting[:POSTS_AT_ONCE_MAX]]
    answer = ResultAnswer(attempt="att_0", outcome="accepted")
    forgotten, following = bench.core.result_answered(answer, mono_ms=bench.mono_ms)
    assert forgotten == ForgetResult("att_0") and following.attempt == f"att_{POSTS_AT_ONCE_MAX}"


def test_a_post_in_flight_over_a_reconnect_is_not_posted_twice_at_once():
    bench = Bench()
    posted(bench)
    bench.core.closed()
    assert [e for e in bench.link() if isinstance(e, PostResult)] == []
    bench.core.result_put_off("att_1", mono_ms=bench.mono_ms)
    assert PostResult("att_1", "/r/att_1", "s2", 2) in bench.tick(1_000)


def test_randomness_comes_from_outside():
    core = HiveCore(IDENTITY, OFFER, random=os.urandom)
    first = core.opened(mono_ms=0)
    assert first != core.opened(mono_ms=0)
