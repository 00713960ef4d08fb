"""Every service over a SQLite file, with a clock and hives in the test's hand."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hivemark.api.handshake import Transcript, sign_enrol
from hivemark.api.link import (
    PROTOCOL_VERSION,
    Challenge,
    CoordinatorFrame,
    Disclosure,
    Enrol,
    HeldAttempt,
    Hello,
    HiveFrame,
    HiveMessage,
    Lease,
    Offer,
    OfferedModel,
    Proof,
    Reconcile,
    Refused,
    ResultFrame,
    Welcome,
)
from hivemark.coordinator.bootstrap import open_home, trust_first_keys
from hivemark.coordinator.config import Settings
from hivemark.coordinator.gateway.session import Close, Effect, LinkSession
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.service.assembly import Rules, Services, build_services
from hivemark.coordinator.service.calls import CallRules
from hivemark.coordinator.service.hints import NoHints
from hivemark.coordinator.service.lease import LeaseRules
from hivemark.coordinator.service.submit import Accepted, IntakeRules
from hivemark.coordinator.store import SqlStore, open_store
from hivemark.coordinator.store.blobs import FolderBlobStore
from hivemark.coordinator.store.tiles import FolderTileStore
from hivemark.credits.price import MICRO_PER_CREDIT, Price
from hivemark.fleet.channel import Channel
from hivemark.jobs.questions import load_question_sets
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import commit
from hivemark.protocol.grant import parse_grant, verify_grant
from hivemark.protocol.ids import hive_id
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.jobspec_members import Sampling
from hivemark.protocol.keyfile import load_private_key
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import (
    ClaimedRegion,
    Commitments,
    Engine,
    Failure,
    HiveRef,
    Model,
    QuestionRef,
    Receipt,
    Times,
    Usage,
    sign_receipt,
)
from hivemark.protocol.times import format_ms

START_MS = 1_790_000_000_000
WEIGHTS = hashlib.sha256(b"weights").hexdigest()
SALTS = {
    name: bytes([number]) * 32
    for number, name in enumerate(("request", "output", "tokens", "question"), start=1)
}


@dataclass
class TestHive:
    """A hive by its key and, once linked, its session and channel."""

    __test__ = False

    world: "World"
    key: PrivateKey
    region: str | None
    session: LinkSession | None = None
    channel: Channel | None = None
    welcome: Welcome | None = None
    leases: list[Lease] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)

    @property
    def id(self) -> str:
        return hive_id(self.key.public.raw)

    def hello(self, **changes: Any) -> Hello:
        members = {
            "protocol": PROTOCOL_VERSION,
            "hive": self.id,
            "public_key": self.key.public.base64,
            "nonce": encode_base64(b"\7" * 32),
            "software": "test",
        }
        return Hello(**{**members, **changes})

    def prove(self, challenge: Challenge) -> Proof:
        transcript = Transcript(
            network=challenge.network,
            hive=self.id,
            hive_key=self.key.public.base64,
            service_key=challenge.service_key,
            hive_nonce=encode_base64(b"\7" * 32),
            service_nonce=challenge.nonce,
            protocol=PROTOCOL_VERSION,
        )
        transcript.verify("service", challenge.signature)
        return Proof(signature=transcript.sign("hive", self.key))

    def link(self, *, slots: int = 4, held: tuple[HeldAttempt, ...] = (), **offer: Any) -> "TestHive":
        """Handshake, offer, reconcile; leases that come are kept."""
        self.session = self.world.session()
        (challenge,) = self.say(self.hello())
        (self.welcome,) = self.say(self.prove(challenge))
        self.channel = Channel(self.welcome.epoch)
        model = OfferedModel(name="tiny", weights_sha256=WEIGHTS, engine="test")
        members = {"name": "attic", "region": self.region, "slots": slots, "models": (model,), **offer}
        self.send(Offer(**members))
        self.send(Reconcile(held=held))
        return self

    def say(self, message: Any) -> list[Any]:
        """A bare message of the handshake; the answers."""
        assert self.session is not None
        return self.take(self.session.receive(msgspec.json.encode(message), now_ms=self.world.now_ms))

    def send(self, body: HiveMessage) -> list[Any]:
        assert self.session is not None and self.channel is not None
        seq, ack = self.channel.send()
        frame = HiveFrame(epoch=self.channel.epoch, seq=seq, ack=ack, body=body)
        return self.take(self.session.receive(msgspec.json.encode(frame), now_ms=self.world.now_ms))

    def tick(self) -> list[Any]:
        assert self.session is not None
        return self.take(self.session.tick(now_ms=self.world.now_ms))

    def take(self, effects: list[Effect]) -> list[Any]:
        """What the coordinator said, decoded; leases are noted."""
        said: list[Any] = []
        for effect in effects:
            if isinstance(effect, Close):
                said.append(effect)
            elif self.channel is None:
                said.append(_BARE.decode(effect.text))
            else:
                frame = _FRAMES.decode(effect.text)
                self.channel.receive(frame.epoch, frame.seq, frame.ack)
                said.append(frame.body)
        self.leases.extend(message for message in said if isinstance(message, Lease))
        self.received.extend(said)
        return said

    def result(
        self, lease: Lease, *, output: str = "an answer", key: PrivateKey | None = None, **changes: Any
    ) -> ResultFrame:
        """A result that holds, but for what `changes` makes of its receipt."""
        receipt = self.receipt(lease, output=output, key=key, **changes)
        tokens = (1, 2, 3)
        return ResultFrame(
            attempt=lease.attempt,
            lease_version=lease.lease_version,
            envelope=encode_base64(sign_receipt(receipt, key or self.key)),
            disclosure=Disclosure(
                request_salt=encode_base64(SALTS["request"]),
                output=output,
                output_salt=encode_base64(SALTS["output"]),
                token_ids=tokens,
                token_ids_salt=encode_base64(SALTS["tokens"]),
                question_salt=encode_base64(SALTS["question"]),
            ),
        )

    def receipt(
        self, lease: Lease, *, output: str = "an answer", key: PrivateKey | None = None, **changes: Any
    ) -> Receipt:
        signed = parse_grant({"grant": lease.grant, "signature": lease.grant_signature})
        verify_grant(signed, self.world.services.identity.service_key.public)
        model, question = lease.request["model"], lease.request["question"]
        at = format_ms(self.world.now_ms)
        members: dict[str, Any] = {
            "network": self.world.services.identity.network,
            "job": lease.job,
            "execution": lease.execution,
            "attempt": lease.attempt,
            "lease_version": lease.lease_version,
            "hive": HiveRef.of((key or self.key).public),
            "grant_sha256": signed.grant_sha256,
            "engine": Engine(
                name="test",
                version="1",
                build="b",
                backend="cpu",
                dtype="f32",
                architecture="x86_64",
                threads=1,
            ),
            "model": model and self.model(model["name"], model["weights_sha256"]),
            "commitments": Commitments(
                request=commit(SALTS["request"], encode_canonical(lease.request)),
                output=commit(SALTS["output"], output.encode()),
                token_ids=commit(SALTS["tokens"], encode_canonical([1, 2, 3])),
            ),
            "question": question and self.question(lease.request),
            "sampling": Sampling(
                temperature=lease.request["sampling"]["temperature"],
                top_p=lease.request["sampling"]["top_p"],
                max_tokens=lease.request["sampling"]["max_tokens"],
                stop=tuple(lease.request["sampling"]["stop"]),
            ),
            "seed": lease.request["seed"],
            "usage": Usage(prompt_tokens=5, completion_tokens=3),
            "times": Times(started=at, first_token=at, finished=at, duration_us=1_000),
            "region": ClaimedRegion(claimed=self.region),
            "outcome": "completed",
            "finish_reason": "stop",
            "failure": None,
            "absent": {},
        }
        if question:
            named = question["set_sha256"] is not None
            members["absent"] = {"question.commitment" if named else "question.set_sha256": "not needed"}
        if not model:
            members["absent"] = {"model": "no model was asked for"}
        return Receipt(**{**members, **changes})

    @staticmethod
    def question(request: dict[str, Any]) -> QuestionRef:
        """A published question is named by its set, another by the commitment to its text."""
        question, text = request["question"], request["messages"][-1]["content"].encode()
        commitment = None if question["set_sha256"] else commit(SALTS["question"], text)
        return QuestionRef(id=question["id"], set_sha256=question["set_sha256"], commitment=commitment)

    @staticmethod
    def model(name: str, weights: str | None) -> Model:
        return Model(
            name=name,
            weights_sha256=weights,
            tokenizer_sha256="a" * 64,
            template_sha256="b" * 64,
            quantisation="q8_0",
        )

    def failed(self, lease: Lease, *, transient: bool) -> ResultFrame:
        """A signed failure without output."""
        failure = Failure(stage="engine", code="crashed", message="it fell over", transient=transient)
        receipt = self.receipt(lease)
        receipt = msgspec.structs.replace(
            receipt,
            outcome="failed",
            failure=failure,
            finish_reason=None,
            usage=None,
            commitments=msgspec.structs.replace(receipt.commitments, output=None, token_ids=None),
            absent={
                **receipt.absent,
                "commitments.output": "none",
                "commitments.token_ids": "none",
                "finish_reason": "none",
                "usage": "none",
            },
        )
        return ResultFrame(
            attempt=lease.attempt,
            lease_version=lease.lease_version,
            envelope=encode_base64(sign_receipt(receipt, self.key)),
            disclosure=Disclosure(
                request_salt=encode_base64(SALTS["request"]),
                question_salt=encode_base64(SALTS["question"]),
            ),
        )

    def deliver(self, frame: ResultFrame) -> str:
        """Post the result; its outcome."""
        services = self.world.services
        row = services.hives.get(self.id)
        return services.results.accept(row, frame, now_ms=self.world.now_ms).outcome


@dataclass
class World:
    services: Services
    store: SqlStore
    account_key: PrivateKey
    now_ms: int = START_MS

    def wait(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)

    def live(self, seconds: int) -> int:
        """Let time pass with the reaper at work once a second; how many attempts it ended."""
        ended = 0
        for _ in range(seconds):
            self.wait(1)
            ended += self.services.reaper.step(self.now_ms)
        return ended

    def session(self) -> LinkSession:
        services = self.services
        return LinkSession(
            links=services.links,
            identity=services.identity,
            metrics=services.metrics,
            random=os.urandom,
            address="127.0.0.1",
            now_ms=self.now_ms,
        )

    def hive(self, *, region: str | None = "US") -> TestHive:
        """An enrolled hive."""
        hive = TestHive(self, PrivateKey.generate(os.urandom), region)
        self.services.hives.enrol(self.enrolment(hive), address=None, now_ms=self.now_ms)
        return hive

    def enrolment(self, hive: TestHive, **changes: Any) -> Enrol:
        token, _ = self.services.hives.make_join_token(
            owner=self.services.identity.operator, ttl_s=60, now_ms=self.now_ms
        )
        members = {
            "token": token,
            "hive": hive.id,
            "public_key": hive.key.public.base64,
            "name": "attic",
            "region": hive.region,
            "signature": "",
        }
        return sign_enrol(Enrol(**{**members, **changes}), hive.key)

    def sign(self, value: dict[str, Any], *, key: PrivateKey | None = None) -> bytes:
        return sign_jobspec(value, key or self.account_key, now_ms=self.now_ms, random=os.urandom)

    def submit(self, value: dict[str, Any], *, idempotency_key: str | None = None) -> Accepted:
        return self.services.submission.submit(
            self.sign(value), idempotency_key=idempotency_key, now_ms=self.now_ms
        )

    def executions(self, job: str) -> list[str]:
        rows = self.store.executions(job=job, public_only=False, before=None, limit=1000)
        return [row.state.value for row in rows]

    def outcomes(self) -> list[str]:
        """The outcomes of every attempt's entries, in the order they were queued."""
        import json

        from hivemark.protocol.acceptance import verify_acceptance
        from hivemark.protocol.entry import AttemptEntry, parse_entry

        epoch = self.store.lead(holder="test", now_ms=self.now_ms, lease_ms=1)
        assert epoch is not None
        rows = self.store.log_rows_of([row.id for row in self.store.assign(epoch=epoch, limit=1000)])
        self.wait(1)
        found = []
        for row in sorted(rows, key=lambda row: row.index or 0):
            assert row.entry is not None
            entry = parse_entry(row.entry)
            if isinstance(entry, AttemptEntry):
                acceptance = verify_acceptance(
                    entry.acceptance.raw, self.services.identity.service_key.public
                )
                found.append(acceptance.outcome)
                assert (entry.receipt is None) == (acceptance.receipt_sha256 is None)
            else:
                assert "enrolment" in json.loads(row.entry)
        return found


_BARE = msgspec.json.Decoder(Challenge | Welcome | Refused)
_FRAMES = msgspec.json.Decoder(CoordinatorFrame)


def benchmark(spec_id: str = "bench", **members: Any) -> dict[str, Any]:
    return {
        "id": spec_id,
        "version": "1",
        "benchmark": "b",
        "questions": [{"id": "q", "text": "What is two and two?"}],
        "models": ["tiny"],
        **members,
    }


def noop(spec_id: str = "noop", **members: Any) -> dict[str, Any]:
    return {"id": spec_id, "version": "1", "benchmark": "noop", **members}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the schema; copying it is faster than migrating again."""
    path = tmp_path_factory.mktemp("schema") / "store.db"
    from hivemark.coordinator.store import migrate

    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def world(tmp_path: Path, migrated: Path) -> Any:
    settings = Settings(home=tmp_path / "home")
    home = open_home(settings, now_ms=START_MS, random=os.urandom)
    (tmp_path / "store.db").write_bytes(migrated.read_bytes())
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}", network=home.identity.network)
    trust_first_keys(home, store, settings, now_ms=START_MS)
    services = build_services(
        store=store,
        blobs=FolderBlobStore(tmp_path / "blobs"),
        tiles=FolderTileStore(tmp_path / "log"),
        identity=home.identity,
        rules=Rules(
            intake=IntakeRules(
                regions=("US", "EU"),
                default_visibility="private",
                age_max_s=86_400,
                skew_max_s=300,
                price=Price(),
            ),
            lease=LeaseRules(lease_ttl_s=15, heartbeat_s=3, first_token_timeout_s=60, stall_timeout_s=30),
            calls=CallRules(queue_timeout_s=60, total_timeout_s=600),
            grant_micro=MICRO_PER_CREDIT,
        ),
        questions=load_question_sets(),
        random=os.urandom,
        hints=NoHints(),
        metrics=Metrics(),
        run="run-1",
        tokens_sha256=home.tokens_sha256,
    )
    yield World(services, store, load_private_key(settings.home / "keys" / "account.key"))
    store.close()
