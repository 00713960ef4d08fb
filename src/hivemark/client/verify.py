"""Offline verification of what a user holds: bundles and signed JobSpecs (spec/verify).

Keys come from a pinned policy and from nowhere else. Without one the same steps run, the signatures of log,
witnesses and service stay unchecked, and the verdict says so.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from hivemark.client.calltexts import Texts, has_body, with_texts
from hivemark.errors import HivemarkError, UnverifiedError
from hivemark.jobs.questions import load_question_sets
from hivemark.jobs.request import messages_of, seeds_of
from hivemark.protocol.acceptance import Acceptance, parse_acceptance, verify_acceptance
from hivemark.protocol.base64strict import decode_base64
from hivemark.protocol.bundle import (
    BUNDLE_BYTES_MAX,
    Bundle,
    Disclosed,
    DisclosedRequest,
    parse_bundle,
)
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import SALT_BYTES, verify_commitment
from hivemark.protocol.entry import AttemptEntry, encode_private, parse_entry
from hivemark.protocol.jobspec import SignedJobSpec, parse_jobspec, verify_jobspec
from hivemark.protocol.jobspec_members import JobSpec
from hivemark.protocol.keys import PublicKey
from hivemark.protocol.receipt import QuestionRef, Receipt, verify_receipt
from hivemark.protocol.strictjson import JsonObject, JsonValue, parse_json_object
from hivemark.translog.checkpoint import Checkpoint
from hivemark.translog.merkle import leaf_hash
from hivemark.translog.policy import Policy
from hivemark.translog.tlogproof import TlogProof, parse_tlog_proof, verify_tlog_proof

EXIT_VERIFIED: Final = 0
EXIT_NOT_VERIFIED: Final = 3
_DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Check:
    """One step that held, and what it established."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Every step held. `signers_known` is False when there was no policy to say whose signatures count.

    `levels` are the labels of spec/verify 3 in their exact words; nothing stronger was shown.
    """

    kind: str
    signers_known: bool
    checks: tuple[Check, ...]
    levels: tuple[str, ...] = ()
    acceptance: Acceptance | None = None
    receipt: Receipt | None = None

    def to_json(self) -> JsonObject:
        """The object that `verify --json` prints for this document."""
        value: JsonObject = {
            "kind": self.kind,
            "verified": self.signers_known,
            "signers_known": self.signers_known,
            "checks": [{"name": check.name, "detail": check.detail} for check in self.checks],
            "levels": list(self.levels),
        }
        if self.acceptance is not None:
            value["outcome"] = self.acceptance.outcome
            value["job"] = self.acceptance.job
            value["execution"] = self.acceptance.execution
            value["attempt"] = self.acceptance.attempt
            value["hive"] = self.acceptance.hive.id
        return value


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """What became of one named document: a verdict, or the first check that failed."""

    name: str
    verdict: Verdict | None
    error: HivemarkError | None

    @property
    def is_verified(self) -> bool:
        """Whether everything held and the signers are known."""
        return self.verdict is not None and self.verdict.signers_known

    def to_json(self) -> JsonObject:
        """The object that `verify --json` prints for this document."""
        if self.verdict is not None:
            return {"file": self.name, **self.verdict.to_json()}
        assert self.error is not None
        return {"file": self.name, "verified": False, "code": self.error.code, "message": str(self.error)}


def verify_documents(
    documents: Sequence[tuple[str, bytes]], policy: Policy | None, *, texts: Texts | None = None
) -> tuple[DocumentResult, ...]:
    """Check each (name, bytes) by itself; one that fails does not keep the others from being checked."""
    return tuple(_result(name, raw, policy, texts) for name, raw in documents)


def exit_code_of(results: Sequence[DocumentResult]) -> int:
    """`EXIT_VERIFIED` when all were verified and there was at least one, else `EXIT_NOT_VERIFIED`."""
    return EXIT_VERIFIED if results and all(r.is_verified for r in results) else EXIT_NOT_VERIFIED


def verify_document(raw: bytes, policy: Policy | None, *, texts: Texts | None = None) -> Verdict:
    """A bundle or a signed JobSpec, told apart by the member `bundle`; raises `UnverifiedError`."""
    with _failing_as("document_malformed"):
        value = parse_json_object(raw, bytes_max=BUNDLE_BYTES_MAX, depth_max=_DEPTH_MAX)
    if "bundle" not in value:
        return verify_jobspec_file(raw)
    with _failing_as("bundle_malformed"):
        bundle = parse_bundle(raw)
    return verify_bundle(bundle, policy, texts=texts)


def verify_jobspec_file(raw: bytes) -> Verdict:
    """A signed JobSpec by itself; whose key it is, is for the reader to recognise."""
    steps = _Steps()
    signed = _verify_spec(raw, steps)
    steps.passed("signer", f"{signed.public_key.fingerprint}; no policy says whose key this is")
    return Verdict(kind="jobspec", signers_known=False, checks=tuple(steps.checks))


def verify_bundle(bundle: Bundle, policy: Policy | None, *, texts: Texts | None = None) -> Verdict:
    """Spec/verify 2; raises `UnverifiedError` whose code names the first step that failed, nothing else.

    `texts`: what the reader of a call holds himself, put where the bundle shows a salt alone.
    """
    steps = _Steps()
    entry, proof = _parse_entry_and_proof(bundle)  # 2.1
    checkpoint = _verify_inclusion(bundle, proof, steps)  # 2.2
    levels = _verify_checkpoint(proof, policy, steps)  # 2.3
    acceptance = _verify_acceptance(entry, policy, steps)  # 2.4
    receipt = _verify_receipt(entry, acceptance, steps)  # 2.5
    if receipt is not None:
        _require_agreement(acceptance, receipt, checkpoint, steps)  # 2.6
    signed = None
    if bundle.spec is not None:
        signed = _require_spec(bundle.spec, acceptance, receipt, policy, steps)  # 2.7
    shown = bundle.disclosed
    if texts is not None:
        with _failing_as("texts_unusable"):
            shown = with_texts(shown, texts, acceptance)
    _require_disclosed(shown, signed, acceptance, receipt, steps)  # 2.8
    return Verdict(
        kind="bundle",
        signers_known=policy is not None,
        checks=tuple(steps.checks),
        levels=levels if receipt is not None and policy is not None else (),
        acceptance=acceptance,
        receipt=receipt,
    )


@dataclass(slots=True)
class _Steps:
    checks: list[Check] = field(default_factory=list)

    def passed(self, name: str, detail: str) -> None:
        self.checks.append(Check(name, detail))


@contextmanager
def _failing_as(code: str) -> Iterator[None]:
    """Whatever goes wrong inside is this step's failure."""
    try:
        yield
    except HivemarkError as error:
        raise UnverifiedError(str(error), code=code) from error


def _result(name: str, raw: bytes, policy: Policy | None, texts: Texts | None) -> DocumentResult:
    try:
        return DocumentResult(name, verify_document(raw, policy, texts=texts), None)
    except UnverifiedError as error:
        return DocumentResult(name, None, error)


def _parse_entry_and_proof(bundle: Bundle) -> tuple[AttemptEntry, TlogProof]:
    with _failing_as("entry_malformed"):
        entry = parse_entry(bundle.entry)
    if not isinstance(entry, AttemptEntry):
        raise UnverifiedError("the entry is not about an attempt", code="entry_malformed")
    with _failing_as("proof_malformed"):
        return entry, parse_tlog_proof(bundle.proof)


def _verify_inclusion(bundle: Bundle, proof: TlogProof, steps: _Steps) -> Checkpoint:
    salt = bundle.entry_salt
    logged = bundle.entry if salt is None else encode_private(salt, bundle.entry)
    with _failing_as("inclusion_invalid"):
        checkpoint = verify_tlog_proof(proof, leaf_hash(logged))
    form = "in the clear" if salt is None else "as a commitment"
    steps.passed("inclusion", f"entry {proof.index} of {checkpoint.size} in {checkpoint.origin}, {form}")
    return checkpoint


def _verify_checkpoint(proof: TlogProof, policy: Policy | None, steps: _Steps) -> tuple[str, ...]:
    if policy is None:
        return ()
    checked = policy.verify_checkpoint(proof.checkpoint)  # its codes: log_unknown, quorum_missing, note_…
    names = [item.verifier.name for item in checked.cosignatures]
    witnessed = f"cosigned by {len(names)}" if names else "no witness cosigned it"
    steps.passed("checkpoint", f"signed by {checked.log.verifier.name}, {witnessed}")
    if not names:
        return ("L0 signed receipt in a log without witnesses",)
    return (f"L0 signed receipt in a log witnessed by {', '.join(sorted(names))}",)


def _verify_acceptance(entry: AttemptEntry, policy: Policy | None, steps: _Steps) -> Acceptance:
    with _failing_as("acceptance_invalid"):
        if policy is None:
            return parse_acceptance(entry.acceptance.payload)
        acceptance = verify_acceptance(entry.acceptance.raw, policy.service_key)
    if acceptance.network != policy.network:
        raise UnverifiedError(f"accepted on network {acceptance.network}", code="network_mismatch")
    steps.passed("acceptance", f"{acceptance.outcome}, signed by the service key of {policy.network}")
    return acceptance


def _verify_receipt(entry: AttemptEntry, acceptance: Acceptance, steps: _Steps) -> Receipt | None:
    digest = None if entry.receipt is None else entry.receipt.sha256
    if digest != acceptance.receipt_sha256:
        raise UnverifiedError("the receipt is not the accepted one", code="receipt_mismatch")
    if entry.receipt is None:
        steps.passed("receipt", f"there is none: {acceptance.absent['receipt_sha256']}")
        return None
    with _failing_as("receipt_invalid"):
        hive_key = PublicKey.from_base64(acceptance.hive.public_key)
        receipt = verify_receipt(entry.receipt.raw, hive_key)
    steps.passed("receipt", f"{receipt.outcome}, signed by {receipt.hive.id}")
    return receipt


def _require_agreement(
    acceptance: Acceptance, receipt: Receipt, checkpoint: Checkpoint, steps: _Steps
) -> None:
    """Two parties describe one attempt: what both name has to be the same."""
    for name in ("network", "job", "execution", "attempt", "hive", "grant_sha256"):
        if getattr(acceptance, name) != getattr(receipt, name):
            raise UnverifiedError(f"receipt and acceptance differ in {name}", code="statements_disagree")
    if acceptance.region.claimed != receipt.region.claimed:
        raise UnverifiedError("receipt and acceptance differ in region", code="statements_disagree")
    delivered = acceptance.delivered
    if (
        acceptance.outcome == "accepted"
        and delivered is not None
        and delivered.commitment != receipt.commitments.output
    ):
        raise UnverifiedError("another output was delivered than signed for", code="statements_disagree")
    steps.passed("agreement", f"receipt and acceptance describe one attempt in {checkpoint.origin}")


def _verify_spec(raw: bytes, steps: _Steps) -> SignedJobSpec:
    with _failing_as("spec_invalid"):
        signed = parse_jobspec(raw)
        verify_jobspec(signed)
    steps.passed("spec", f"job {signed.spec.id}, signed by {signed.public_key.fingerprint}")
    return signed


def _require_spec(
    raw: bytes, acceptance: Acceptance, receipt: Receipt | None, policy: Policy | None, steps: _Steps
) -> SignedJobSpec:
    signed = _verify_spec(raw, steps)
    account = signed.spec.metadata.extra.get("on_behalf_of")
    if policy is not None and signed.public_key == policy.service_key and account is not None:
        steps.passed("signer", f"the service signed the request on behalf of {account}")
    if hashlib.sha256(raw).hexdigest() != acceptance.spec.received_sha256:
        raise UnverifiedError("these are not the bytes that were posted", code="spec_mismatch")
    if signed.spec_sha256 != acceptance.spec.sha256:
        raise UnverifiedError("the attempt belongs to another request", code="spec_mismatch")
    _require_admitted(signed.spec, acceptance.hive.id)
    if receipt is not None:
        _require_asked_for(signed.spec, receipt)
    named = "question, model" if signed.spec.benchmark.asks_questions else "model"
    steps.passed("request", f"{named}, sampling, seed, region and hive are among those asked for")
    return signed


def _require_admitted(spec: JobSpec, hive: str) -> None:
    if not spec.constraints.providers.admits(hive):
        raise UnverifiedError(f"the request does not admit {hive}", code="spec_mismatch")


def _require_asked_for(spec: JobSpec, receipt: Receipt) -> None:
    """Nobody but the signer chooses question, model, sampling, seed and region (spec/verify 2.7)."""
    if receipt.question is not None and spec.benchmark.asks_questions:
        _require_question(spec, receipt.question)
    elif receipt.question is not None:
        raise UnverifiedError("the receipt names a question, and none was asked", code="spec_mismatch")
    elif spec.benchmark.asks_questions:
        raise UnverifiedError("the receipt names no question", code="spec_mismatch")
    if receipt.model is not None:
        pinned = {model.name: model.digest for model in spec.models}
        if receipt.model.name not in pinned:
            raise UnverifiedError(f"model {receipt.model.name} was not asked for", code="spec_mismatch")
        digest = pinned[receipt.model.name]
        if digest not in (None, receipt.model.weights_sha256):
            raise UnverifiedError("the model has other weights than were pinned", code="spec_mismatch")
    if receipt.sampling != spec.execution.sampling:
        raise UnverifiedError("another sampling was used than asked for", code="spec_mismatch")
    if receipt.seed not in seeds_of(spec):
        raise UnverifiedError("another seed was used than asked for", code="spec_mismatch")
    if not {None, receipt.region.claimed} & _regions_of(spec):
        raise UnverifiedError("it ran in a region that was not asked for", code="spec_mismatch")


def _require_question(spec: JobSpec, asked: QuestionRef) -> None:
    """One of the spec's questions; it names a set exactly if the spec does not give its text."""
    posted = {question.id: question.text for question in spec.questions}
    if asked.id not in posted:
        raise UnverifiedError(f"question {asked.id} was not asked", code="spec_mismatch")
    if (posted[asked.id] is None) != (asked.set_sha256 is not None):
        raise UnverifiedError(f"question {asked.id} has its words from elsewhere", code="spec_mismatch")


def _regions_of(spec: JobSpec) -> frozenset[str | None]:
    """Where cells of this spec may run; None is anywhere. An arm that names a region runs there alone."""
    named = frozenset[str | None](spec.constraints.regions or (None,))
    own = [arm.region for arm in spec.execution.arms]
    return frozenset(own) - {None} | (named if None in own or not own else frozenset())


def _require_disclosed(
    shown: Disclosed,
    signed: SignedJobSpec | None,
    acceptance: Acceptance,
    receipt: Receipt | None,
    steps: _Steps,
) -> None:
    if shown == Disclosed():
        return
    if receipt is None and shown != Disclosed(delivered=shown.delivered):
        raise UnverifiedError("no receipt commits to what is disclosed", code="disclosure_mismatch")
    if shown.delivered is not None:
        _require_given(shown, acceptance, receipt, steps)
    if receipt is None:
        return
    committed = receipt.commitments
    if shown.request is not None:
        _require_request(shown.request, signed, receipt, steps)
    if shown.token_ids is not None and shown.token_ids.value is not None:
        content = encode_canonical(list(shown.token_ids.value))
        _require_commitment("token_ids", committed.token_ids, shown.token_ids.salt, content, steps)
    if shown.output is not None and shown.output.text is not None:
        text = shown.output.text.encode()
        _require_commitment("output", committed.output, shown.output.salt, text, steps)
        _require_prefixes(receipt, shown.output.salt, text)
        _require_delivered(acceptance, text)
    elif shown.output is not None and shown.delivered is None:
        steps.passed("output", "not shown: whoever asked has it (--answer compares it)")


def _require_request(
    shown: DisclosedRequest, signed: SignedJobSpec | None, receipt: Receipt, steps: _Steps
) -> None:
    """What was asked, as far as it is shown, is what hive and signer committed to."""
    value = shown.value
    spec = None if signed is None else signed.spec
    if value is None or not has_body(value):
        steps.passed("asked", "not shown: whoever asked has it (--request compares it)")
        return
    content = encode_canonical(value)
    _require_commitment("request", receipt.commitments.request, shown.salt, content, steps)
    if isinstance(value, dict) and "call" in value:
        _require_call(value, spec, receipt, steps)
    else:
        _require_words(spec, receipt.question, value, steps)


def _require_call(value: JsonObject, spec: JobSpec | None, receipt: Receipt, steps: _Steps) -> None:
    """Spec/jobspec 6: the body is the one that the signer committed to."""
    call, model = value["call"], value.get("model")
    if not isinstance(call, dict) or not isinstance(salt := call.get("salt"), str):
        raise UnverifiedError("the disclosed call has another form", code="disclosure_mismatch")
    named = model.get("name") if isinstance(model, dict) else None
    if receipt.model is None or named != receipt.model.name or value.get("seed") != receipt.seed:
        raise UnverifiedError("receipt and request differ in model or seed", code="disclosure_mismatch")
    if spec is None or spec.request is None:
        steps.passed("asked", "without the signed request the body was compared with the receipt alone")
        return
    if call.get("endpoint") != spec.request.endpoint:
        raise UnverifiedError("another endpoint was called than signed for", code="spec_mismatch")
    with _failing_as("spec_mismatch"):
        verify_commitment(
            spec.request.commitment,
            salt=decode_base64(salt, length=SALT_BYTES, field="call.salt"),
            content=encode_canonical(call.get("body")),
            code="spec_mismatch",
        )
    steps.passed(
        "asked",
        "the body is the one that was signed for; model and sampling were not compared with what it says",
    )


def _require_given(shown: Disclosed, acceptance: Acceptance, receipt: Receipt | None, steps: _Steps) -> None:
    """Spec/verify 2.9: of an answer that was cut off, what the client was given."""
    given, delivered = shown.delivered, acceptance.delivered
    assert given is not None
    if acceptance.outcome != "cut" or delivered is None:
        raise UnverifiedError("nothing commits to what was delivered", code="disclosure_mismatch")
    if given.text is None:
        steps.passed("delivered", f"{delivered.bytes} bytes, not shown (--answer compares them)")
        return
    text = given.text.encode()
    if len(text) != delivered.bytes:
        raise UnverifiedError("not as many bytes as were delivered", code="disclosure_mismatch")
    verify_commitment(delivered.commitment, salt=given.salt, content=text, code="disclosure_mismatch")
    compared = _require_given_prefixes(receipt, shown, text)
    steps.passed("delivered", f"{len(text)} bytes, as the service signed for; {compared}")


def _require_given_prefixes(receipt: Receipt | None, shown: Disclosed, given: bytes) -> str:
    """How far what was given is what the hive signed, in words; raises `disclosure_mismatch`."""
    if receipt is None:
        return "there is no receipt to compare them with"
    if shown.output is None:
        return "without the salt of the output they were not compared with the receipt"
    within = [prefix for prefix in receipt.commitments.prefixes if prefix.bytes <= len(given)]
    if not within:
        return "no prefix that the hive signed ends within them"
    for prefix in within:
        verify_commitment(
            prefix.commitment,
            salt=shown.output.salt,
            content=given[: prefix.bytes],
            code="disclosure_mismatch",
        )
    return f"the first {max(prefix.bytes for prefix in within)} are a prefix that the hive signed"


def _require_words(
    spec: JobSpec | None, asked: QuestionRef | None, request: JsonValue, steps: _Steps
) -> None:
    """The question is put in the words it was posted or published in, where these are known here."""
    if asked is None:
        return
    if asked.set_sha256 is None:
        text, source = _posted_text(spec, asked.id), "as it was posted"
    elif (published := _published_texts().get(asked.set_sha256)) is None:
        detail = f"question set {asked.set_sha256[:12]} is not known here; its text was not compared"
        steps.passed("question", detail)
        return
    else:
        text, source = published.get(asked.id), f"as question set {asked.set_sha256[:12]} has it"
        if text is None:
            raise UnverifiedError(f"its set has no question {asked.id}", code="spec_mismatch")
    if text is None:
        steps.passed("question", "posted in full; without the request its text was not compared")
        return
    messages = request.get("messages") if isinstance(request, dict) else None
    if not _puts(messages, spec, text):
        raise UnverifiedError("another question was put than the one asked", code="spec_mismatch")
    steps.passed("question", f"{asked.id} was put {source}")


def _posted_text(spec: JobSpec | None, question: str) -> str | None:
    posted = () if spec is None else spec.questions
    return next((each.text for each in posted if each.id == question), None)


@cache
def _published_texts() -> Mapping[str, Mapping[str, str]]:
    """The texts of the sets shipped with this package: by the digest of the set, by the question's id."""
    texts: dict[str, dict[str, str]] = {}
    for question in load_question_sets().all():
        texts.setdefault(question.set_sha256, {})[question.id] = question.text
    return texts


def _puts(messages: JsonValue, spec: JobSpec | None, text: str) -> bool:
    """The spec knows every message; without it only the last is known."""
    if spec is not None:
        return messages in messages_of(spec, text)
    return isinstance(messages, list) and messages[-1:] == [{"role": "user", "content": text}]


def _require_commitment(
    name: str, commitment: str | None, salt: bytes, content: bytes, steps: _Steps
) -> None:
    if commitment is None:
        raise UnverifiedError(f"nothing commits to the disclosed {name}", code="disclosure_mismatch")
    verify_commitment(commitment, salt=salt, content=content, code="disclosure_mismatch")
    steps.passed(name, f"the disclosed {name} is what the hive signed")


def _require_delivered(acceptance: Acceptance, text: bytes) -> None:
    delivered = acceptance.delivered
    if acceptance.outcome == "accepted" and delivered is not None and delivered.bytes != len(text):
        raise UnverifiedError("not as many bytes as were delivered", code="disclosure_mismatch")


def _require_prefixes(receipt: Receipt, salt: bytes, text: bytes) -> None:
    for prefix in receipt.commitments.prefixes:
        if prefix.bytes > len(text):
            raise UnverifiedError("a prefix is longer than the output", code="disclosure_mismatch")
        verify_commitment(
            prefix.commitment, salt=salt, content=text[: prefix.bytes], code="disclosure_mismatch"
        )
