"""One small network under fixed seeds: a signed job, its receipts, a log of five entries, a policy.

The vectors and the tests of verification are made from it; nothing in it is secret.
"""

import hashlib
import itertools
from dataclasses import dataclass

from msgspec.structs import replace

from hivemark.protocol.acceptance import (
    Acceptance,
    AcceptedTimes,
    Delivered,
    RegionEvidence,
    SpecRef,
    sign_acceptance,
)
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.bundle import Bundle, Disclosed, DisclosedOutput, DisclosedRequest, DisclosedTokenIds
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import commit
from hivemark.protocol.entry import encode_attempt, encode_private
from hivemark.protocol.grant import Grant, GrantedModel, SignedGrant, sign_grant
from hivemark.protocol.ids import hive_id, new_id
from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import (
    ClaimedRegion,
    Commitments,
    Engine,
    HiveRef,
    Model,
    Prefix,
    QuestionRef,
    Receipt,
    Sampling,
    Times,
    Usage,
    sign_receipt,
)
from hivemark.protocol.strictjson import JsonObject
from hivemark.protocol.times import format_ms
from hivemark.translog.append import RightEdge, plan_append
from hivemark.translog.checkpoint import Checkpoint, encode_checkpoint
from hivemark.translog.merkle import inclusion_proof, leaf_hash, reader_of_leaves
from hivemark.translog.note import KeyType, Note, NoteSigner, cosign, encode_note, sign_note
from hivemark.translog.policy import Group, Log, Policy, Witness
from hivemark.translog.tlogproof import TlogProof, encode_tlog_proof

NOW_MS = 1_795_205_429_123
NETWORK = "vectors"
ORIGIN = "vectors.hivemark.dev/2026"
WEIGHTS = hashlib.sha256(b"weights").hexdigest()
OUTPUT = "La capitale est Paris. <&> 🐝"
TOKEN_IDS = (5, 17, 4096, 2)
QUESTION = 'The capital of France? "<&>" 🐝 \u202eabc'
REQUEST: JsonObject = {
    "messages": [{"role": "user", "content": QUESTION}],
    "model": "hivemark-tiny",
    "max_tokens": 16,
    "temperature": 0.5,
}


def seed_of(name: str) -> bytes:
    return hashlib.sha256(f"hivemark vectors: {name}".encode()).digest()


def key_of(name: str) -> PrivateKey:
    return PrivateKey.from_seed(seed_of(name))


CLIENT, SERVICE, HIVE = key_of("client"), key_of("service"), key_of("hive")
LOG = NoteSigner(ORIGIN, key_of("log"))
WITNESSES = tuple(
    NoteSigner(f"witness-{n}.example", key_of(f"witness {n}"), KeyType.COSIGNATURE) for n in (1, 2, 3)
)


def counting_random():
    """A source of "randomness" that gives the same bytes in every run."""
    counter = itertools.count()
    return lambda size: hashlib.shake_256(b"random %d" % next(counter)).digest(size)


def jobspec_value() -> JsonObject:
    return {
        "id": "vectors-1",
        "version": "1",
        "benchmark": "capitals",
        "questions": [{"id": "fr", "text": QUESTION}],
        "models": [{"name": "hivemark-tiny", "digest": WEIGHTS}],
        "runs": 1,
        "constraints": {"regions": ["EU"], "max_cost": "0.25"},
        "execution": {"seed": 7, "sampling": {"temperature": 0.5, "max_tokens": 16}},
    }


def posted_spec(**members: object) -> bytes:
    return sign_jobspec({**jobspec_value(), **members}, CLIENT, now_ms=NOW_MS, random=counting_random())


def grant_of(spec_sha256: str, ids: dict[str, str]) -> SignedGrant:
    grant = Grant(
        network=NETWORK,
        **ids,
        lease_version=1,
        hive=hive_id(HIVE.public.raw),
        model=GrantedModel(name="hivemark-tiny", weights_sha256=WEIGHTS),
        spec_sha256=spec_sha256,
        request_sha256=hashlib.sha256(encode_canonical(REQUEST)).hexdigest(),
        seed=7,
        expires=format_ms(NOW_MS + 60_000),
        nonce=encode_base64(seed_of("grant nonce")),
    )
    return sign_grant(grant, SERVICE)


def receipt_of(grant: SignedGrant) -> Receipt:
    text = OUTPUT.encode()
    output_salt = seed_of("output salt")
    leave = grant.grant
    return Receipt(
        network=NETWORK,
        job=leave.job,
        execution=leave.execution,
        attempt=leave.attempt,
        lease_version=leave.lease_version,
        hive=HiveRef.of(HIVE.public),
        grant_sha256=grant.grant_sha256,
        engine=Engine(
            name="hivemark-numpy",
            version="0.1.0",
            build=None,
            backend="numpy",
            dtype="float32",
            architecture="x86_64",
            threads=1,
        ),
        model=Model(
            name="hivemark-tiny",
            weights_sha256=WEIGHTS,
            tokenizer_sha256=hashlib.sha256(b"tokenizer").hexdigest(),
            template_sha256=None,
            quantisation="Q8_0",
        ),
        commitments=Commitments(
            request=commit(seed_of("request salt"), encode_canonical(REQUEST)),
            output=commit(output_salt, text),
            token_ids=commit(seed_of("token salt"), encode_canonical(list(TOKEN_IDS))),
            prefixes=(Prefix(chunks=64, bytes=12, commitment=commit(output_salt, text[:12])),),
        ),
        question=QuestionRef(id="fr", set_sha256=None, commitment=commit(seed_of("question salt"), b"?")),
        sampling=Sampling(temperature=0.5, max_tokens=16),
        seed=leave.seed,
        usage=Usage(prompt_tokens=9, completion_tokens=4),
        times=Times(
            started=format_ms(NOW_MS + 20),
            first_token=format_ms(NOW_MS + 45),
            finished=format_ms(NOW_MS + 90),
            duration_us=70_123,
        ),
        region=ClaimedRegion(claimed="EU"),
        outcome="completed",
        finish_reason="stop",
        failure=None,
        simulated=("region",),
        absent={
            "engine.build": "run from source",
            "model.template_sha256": "the file has no chat template",
            "question.set_sha256": "asked inline",
        },
    )


def acceptance_of(receipt: Receipt, receipt_envelope: bytes | None, spec: bytes) -> Acceptance:
    assert receipt.commitments.output is not None
    absent = {
        "region.observed": "loopback",
        "region.method": "nothing but the claim",
        "region.evidence": "nothing but the claim",
    }
    lost = dict.fromkeys(("delivered", "usage", "receipt_sha256"), "the lease was lost")
    arrived = receipt_envelope is not None
    delivered = Delivered(bytes=len(OUTPUT.encode()), commitment=receipt.commitments.output)
    return Acceptance(
        network=NETWORK,
        job=receipt.job,
        execution=receipt.execution,
        attempt=receipt.attempt,
        number=1,
        spec=SpecRef(
            sha256=parse_jobspec(spec).spec_sha256,
            received_sha256=hashlib.sha256(spec).hexdigest(),
            received_at=format_ms(NOW_MS + 1),
        ),
        requester="requester_1",
        grant_sha256=receipt.grant_sha256,
        hive=receipt.hive,
        times=AcceptedTimes(
            queued=format_ms(NOW_MS + 2), leased=format_ms(NOW_MS + 10), finished=format_ms(NOW_MS + 95)
        ),
        region=RegionEvidence(
            claimed="EU", observed=None, verified=False, level="claimed", method=None, evidence=None
        ),
        delivered=delivered if arrived else None,
        usage=receipt.usage if arrived else None,
        outcome="accepted" if arrived else "lost",
        receipt_sha256=hashlib.sha256(receipt_envelope).hexdigest() if receipt_envelope else None,
        absent=absent if arrived else {**absent, **lost},
    )


def policy_of(witnesses: tuple[NoteSigner, ...] = WITNESSES, threshold: int = 2) -> Policy:
    names = tuple(f"w{n}" for n in range(1, len(witnesses) + 1))
    listed = zip(names, witnesses, strict=True)
    return Policy(
        network=NETWORK,
        service_key=SERVICE.public,
        logs=(Log(LOG.verifier, "https://vectors.hivemark.dev/log"),),
        witnesses=tuple(Witness(name, signer.verifier) for name, signer in listed),
        groups=(Group("quorum-of-witnesses", threshold, names),) if names else (),
        quorum="quorum-of-witnesses" if names else "none",
    )


@dataclass(frozen=True)
class Chain:
    """Everything that led to one bundle."""

    spec: bytes
    grant: SignedGrant
    receipt: Receipt
    acceptance: Acceptance
    entry: bytes
    bundle: Bundle
    policy: Policy


def build_chain(
    *,
    spec: bytes | None = None,
    request: JsonObject = REQUEST,
    receipt_changes: dict | None = None,
    acceptance_changes: dict | None = None,
    hive_key: PrivateKey = HIVE,
    service_key: PrivateKey = SERVICE,
    log: NoteSigner = LOG,
    cosigners: tuple[NoteSigner, ...] = WITNESSES[:2],
    entry_salt: bytes | None = None,
    with_receipt: bool = True,
) -> Chain:
    """The chain of one attempt; the arguments make it another, or a forged one."""
    spec, random = spec or posted_spec(), counting_random()
    kinds = {"job": "job", "execution": "exe", "attempt": "att"}
    ids = {name: new_id(prefix, now_ms=NOW_MS, random=random) for name, prefix in kinds.items()}
    grant = grant_of(parse_jobspec(spec).spec_sha256, ids)
    receipt = receipt_of(grant)
    committed = commit(seed_of("request salt"), encode_canonical(request))
    receipt = replace(receipt, commitments=replace(receipt.commitments, request=committed))
    receipt = replace(receipt, **(receipt_changes or {}))
    receipt = replace(receipt, hive=HiveRef.of(hive_key.public))
    envelope = sign_receipt(receipt, hive_key) if with_receipt else None
    acceptance = acceptance_of(receipt, envelope, spec)
    acceptance = replace(acceptance, **(acceptance_changes or {}))
    entry = encode_attempt(sign_acceptance(acceptance, service_key), envelope)
    logged = entry if entry_salt is None else encode_private(entry_salt, entry)
    disclosed = Disclosed(
        request=DisclosedRequest(request, seed_of("request salt")),
        output=DisclosedOutput(OUTPUT, seed_of("output salt")),
        token_ids=DisclosedTokenIds(TOKEN_IDS, seed_of("token salt")),
    )
    bundle = Bundle(
        spec=spec,
        entry=entry,
        entry_salt=entry_salt,
        proof=encode_tlog_proof(prove(logged, log, cosigners)),
        disclosed=disclosed if with_receipt else Disclosed(),
    )
    return Chain(spec, grant, receipt, acceptance, entry, bundle, policy_of())


def in_region(name: str) -> Chain:
    """The chain of a hive that claims another region; the coordinator noted it as it was claimed."""
    good = build_chain()
    return build_chain(
        receipt_changes={"region": ClaimedRegion(claimed=name)},
        acceptance_changes={"region": replace(good.acceptance.region, claimed=name)},
    )


def of_a_set(text: str, *, question: str = "capital-france", set_sha256: str | None) -> Chain:
    """The chain of a question that was asked for by its id and put in these words."""
    good = build_chain().receipt
    ref = QuestionRef(id=question, set_sha256=set_sha256, commitment=None if set_sha256 else "0" * 64)
    absent = {name: why for name, why in good.absent.items() if not name.startswith("question.")}
    absent["question.commitment" if set_sha256 else "question.set_sha256"] = "not needed"
    return build_chain(
        spec=posted_spec(questions=[question]),
        request={**REQUEST, "messages": [{"role": "user", "content": text}]},
        receipt_changes={"question": ref, "absent": absent},
    )


def prove(logged: bytes, log: NoteSigner, cosigners: tuple[NoteSigner, ...]) -> TlogProof:
    """The proof of entry 3 in a log of five."""
    entries = [b"zero", b"one", b"two", logged, b"four"]
    plan = plan_append(RightEdge(), entries)
    text = encode_checkpoint(Checkpoint(log.name, plan.size, plan.root))
    signatures = (
        sign_note(text, log),
        *(cosign(text, signer, time_s=NOW_MS // 1000) for signer in cosigners),
    )
    hashes = inclusion_proof(3, 5, reader_of_leaves([leaf_hash(entry) for entry in entries]))
    return TlogProof(3, hashes, encode_note(Note(text, signatures)))
