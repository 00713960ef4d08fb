"""All use cases over one set of ports, for `main` and for the simulator."""

from dataclasses import dataclass

from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.ports import BlobStore, Store, TileStore
from hivemark.coordinator.service.access import Credentials, Role
from hivemark.coordinator.service.apikeys import ApiKeys
from hivemark.coordinator.service.calls import CallRules, Calls
from hivemark.coordinator.service.census import Census
from hivemark.coordinator.service.facts import JobFacts
from hivemark.coordinator.service.health import Health
from hivemark.coordinator.service.held import HeldCalls
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.hives import Hives
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.coordinator.service.jobs import Jobs
from hivemark.coordinator.service.keys import Keys
from hivemark.coordinator.service.lease import LeaseRules, Leasing
from hivemark.coordinator.service.limits import Limits
from hivemark.coordinator.service.links import Links
from hivemark.coordinator.service.reaper import Deadlines, Reaper
from hivemark.coordinator.service.requests import Requests
from hivemark.coordinator.service.results import Results
from hivemark.coordinator.service.statements import Statements
from hivemark.coordinator.service.submit import IntakeRules, Submission
from hivemark.coordinator.service.transparency import Transparency
from hivemark.jobs.questions import QuestionRegistry


@dataclass(frozen=True, slots=True)
class Rules:
    """The policies of one network."""

    intake: IntakeRules
    lease: LeaseRules
    calls: CallRules
    grant_micro: int


@dataclass(frozen=True, slots=True)
class Services:
    """What the shells call. `metrics` and `questions` are shared with them."""

    identity: Identity
    rules: Rules
    metrics: Metrics
    questions: QuestionRegistry
    credentials: Credentials
    api_keys: ApiKeys
    limits: Limits
    submission: Submission
    calls: Calls
    jobs: Jobs
    keys: Keys
    hives: Hives
    links: Links
    results: Results
    reaper: Reaper
    deadlines: Deadlines
    transparency: Transparency
    health: Health
    census: Census


def build_services(
    *,
    store: Store,
    blobs: BlobStore,
    tiles: TileStore,
    identity: Identity,
    rules: Rules,
    questions: QuestionRegistry,
    random: Random,
    hints: Hints,
    metrics: Metrics,
    run: str,
    tokens_sha256: tuple[tuple[Role, str], ...] = (),
) -> Services:
    """Wire every use case; nothing is started and nothing is written. `run` names this run of a replica."""
    held = HeldCalls(run)
    requests = Requests(questions, held)
    facts = JobFacts(store)
    statements = Statements(identity=identity, random=random)
    transparency = Transparency(store=store, tiles=tiles)
    leasing = Leasing(
        store=store,
        requests=requests,
        identity=identity,
        rules=rules.lease,
        random=random,
        hints=hints,
        metrics=metrics,
    )
    results = Results(
        store=store,
        blobs=blobs,
        requests=requests,
        statements=statements,
        identity=identity,
        held=held,
        facts=facts,
        price=rules.intake.price,
        random=random,
        hints=hints,
        metrics=metrics,
    )
    submission = Submission(
        store=store,
        requests=requests,
        facts=facts,
        rules=rules.intake,
        random=random,
        hints=hints,
        metrics=metrics,
    )
    calls = Calls(
        store=store,
        held=held,
        submission=submission,
        identity=identity,
        rules=rules.calls,
        price=rules.intake.price,
        random=random,
        hints=hints,
        metrics=metrics,
    )
    reaper = Reaper(store=store, results=results, lease_ttl_s=rules.lease.lease_ttl_s)
    return Services(
        identity=identity,
        rules=rules,
        metrics=metrics,
        questions=questions,
        credentials=Credentials(store=store, operator=identity.operator, tokens_sha256=tokens_sha256),
        api_keys=ApiKeys(store=store, random=random, hints=hints),
        limits=Limits(),
        submission=submission,
        calls=calls,
        jobs=Jobs(
            store=store,
            blobs=blobs,
            requests=requests,
            results=results,
            transparency=transparency,
            calls=calls,
            hints=hints,
        ),
        keys=Keys(store=store, grant_micro=rules.grant_micro),
        hives=Hives(
            store=store,
            statements=statements,
            identity=identity,
            regions=rules.intake.regions,
            random=random,
            hints=hints,
        ),
        links=Links(
            store=store,
            leasing=leasing,
            reaper=reaper,
            rules=rules.lease,
            regions=rules.intake.regions,
            random=random,
            hints=hints,
            metrics=metrics,
        ),
        results=results,
        reaper=reaper,
        deadlines=Deadlines(store=store),
        transparency=transparency,
        health=Health({"database": store.ping, "blobs": blobs.ping, "log": lambda: _ping_log(store)}),
        census=Census(store=store, metrics=metrics),
    )


def _ping_log(store: Store) -> None:
    """The log's state can be read; that a checkpoint exists is the sequencer's matter."""
    store.log_state()
