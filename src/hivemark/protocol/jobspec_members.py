"""The members of a JobSpec with their types, defaults and limits (spec/jobspec 4)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from hivemark.errors import InvalidError, UnsatisfiableError
from hivemark.protocol.answers import Endpoint
from hivemark.protocol.shape import Name, Sha256, Shape, ShortText, to_shape
from hivemark.protocol.strictjson import JsonObject
from hivemark.protocol.times import parse_rfc3339

NOOP: Final = "noop"
OPENAI: Final = "openai"
"""The benchmark of a call of the OpenAI endpoints."""
MAX_COST_CREDITS: Final = 9_007_199_254  # the most whose micro-credits are an exact JSON number
METADATA_MEMBERS_MAX: Final = 32

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,255}(?!\n)$", max_length=255)]
Reference = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:/@+-]{1,255}(?!\n)$", max_length=255)]
Region = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}(?!\n)$", max_length=32)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Question(Shape, frozen=True, kw_only=True):
    """A question by id, or in full; inline text carries its digest into the receipt."""

    id: Reference
    text: Annotated[str, Meta(min_length=1)] | None = None
    category: Name | None = None
    expected: str | None = None


class ModelRef(Shape, frozen=True, kw_only=True):
    """A model by name; `digest` (SHA-256 of the weights file) pins what the name must resolve to."""

    name: Reference
    digest: Sha256 | None = None


class Providers(Shape, frozen=True, kw_only=True):
    """Hive ids that may, and may not, be chosen; an empty `allow` admits all."""

    allow: Annotated[tuple[Reference, ...], Meta(max_length=256)] = ()
    deny: Annotated[tuple[Reference, ...], Meta(max_length=256)] = ()

    def admits(self, hive: str) -> bool:
        """Whether this hive may run the job; who is denied is denied even if allowed."""
        return hive not in self.deny and (not self.allow or hive in self.allow)


class Sampling(Shape, frozen=True, kw_only=True):
    """How tokens are drawn; `stop` is always a list."""

    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Meta(ge=1, le=32_768)] = 256
    stop: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=4)] = ()


class Persona(Shape, frozen=True, kw_only=True):
    """A system message put before every question."""

    id: Reference
    system: str


class Arm(Shape, frozen=True, kw_only=True):
    """One side of an A/A comparison; the arms differ in nothing but name, or in region."""

    id: Reference
    region: Region | None = None


class Request(Shape, frozen=True, kw_only=True):
    """A call of an OpenAI endpoint. Its body stays with who made it: the spec commits to its RFC 8785 form
    under a salt, so a spec that is kept holds no text (spec/jobspec 6)."""

    endpoint: Endpoint
    commitment: Sha256


class Verification(Shape, frozen=True, kw_only=True, rename={"level": "class"}):
    """Which check beyond the signed receipt is asked for."""

    level: Literal["exact", "tolerance", "token-audit", "none"] = "none"
    replicas: Annotated[int, Meta(ge=1, le=16)] = 1
    quorum: Annotated[int, Meta(ge=1, le=16)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What this job calls itself; `noop` runs no model and still yields receipts."""

    name: str
    version: str | None
    description: str | None

    @property
    def is_noop(self) -> bool:
        """Whether no model is to be run."""
        return self.name == NOOP

    @property
    def is_openai(self) -> bool:
        """Whether the spec has a `request` in the place of questions."""
        return self.name == OPENAI

    @property
    def asks_questions(self) -> bool:
        """Whether its cells have questions."""
        return self.name not in (NOOP, OPENAI)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """Recorded and signed, never run: an image other than empty or `noop` is refused."""

    image: str
    tag: str
    command: tuple[str, ...]
    environment: dict[str, str]
    resources: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Where, how long and for how much; times in seconds, money in micro-credits."""

    regions: tuple[str, ...]
    min_regions: int
    min_success_rate: float
    timeout_s: float
    provider_timeout_s: float
    max_cost_micro: int | None
    providers: Providers
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How each cell is run; `valid_until_ms` is Unix milliseconds."""

    seed: int
    sampling: Sampling
    personas: tuple[Persona, ...]
    arms: tuple[Arm, ...]
    verification: Verification
    visibility: Literal["public", "private"] | None
    valid_until_ms: int | None
    max_reruns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """When and for what the job was signed; `timestamp_ms` is Unix milliseconds."""

    timestamp_ms: int
    nonce: str
    extra: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job with every default filled in."""

    id: str
    version: str
    benchmark: Benchmark
    container: Container | None
    questions: tuple[Question, ...]
    request: Request | None
    models: tuple[ModelRef, ...]
    runs: int
    constraints: Constraints
    execution: Execution
    metadata: Metadata


class _Container(Shape, frozen=True, kw_only=True):
    image: ShortText | None = None
    tag: ShortText | None = None
    command: Annotated[tuple[str, ...], Meta(max_length=256)] = ()
    environment: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str | int | float | bool | None] = field(default_factory=dict)


class _Benchmark(Shape, frozen=True, kw_only=True):
    name: Name
    version: ShortText | None = None
    description: ShortText | None = None
    container: _Container | None = None


class _Constraints(Shape, frozen=True, kw_only=True):
    regions: Annotated[tuple[Region, ...], Meta(max_length=16)] = ()
    min_regions: Annotated[int, Meta(ge=1, le=16)] = 1
    min_success_rate: Annotated[float, Meta(ge=0, le=1)] = 0.67
    timeout_s: Seconds = 600.0
    provider_timeout_s: Seconds = 300.0
    max_cost: str | int | float | None = None
    providers: Providers = Providers()
    labels: Annotated[dict[Name, ShortText], Meta(max_length=32)] = field(default_factory=dict)


class _Execution(Shape, frozen=True, kw_only=True):
    seed: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    sampling: Sampling = Sampling()
    personas: Annotated[tuple[Persona, ...], Meta(max_length=16)] = ()
    arms: Annotated[tuple[Arm, ...], Meta(max_length=16)] = ()
    verification: Verification = Verification()
    visibility: Literal["public", "private"] | None = None
    valid_until: str | None = None
    max_reruns: Annotated[int, Meta(ge=0, le=100)] = 0


class _Posted(Shape, frozen=True, kw_only=True):
    """The members as they stand in the posted object."""

    id: Id
    benchmark: Name | _Benchmark
    metadata: dict[Name, ShortText]
    public_key: str
    signature: str
    version: Literal["1"] = "1"
    container: _Container | None = None
    questions: Annotated[tuple[Reference | Question, ...], Meta(max_length=1000)] = ()
    request: Request | None = None
    models: Annotated[tuple[Reference | ModelRef, ...], Meta(max_length=32)] = ()
    runs: Annotated[int, Meta(ge=1, le=100)] = 1
    constraints: _Constraints = _Constraints()
    execution: _Execution = _Execution()


def read_members(value: JsonObject) -> JobSpec:
    """The typed JobSpec; raises `InvalidError` naming the member, or `container_unsupported`."""
    posted = to_shape(value, _Posted)
    benchmark = _benchmark(posted.benchmark)
    questions = tuple(Question(id=q) if isinstance(q, str) else q for q in posted.questions)
    models = tuple(ModelRef(name=m) if isinstance(m, str) else m for m in posted.models)
    _require_distinct([question.id for question in questions], "questions")
    _require_distinct([model.name for model in models], "models")
    if benchmark.is_openai or posted.request is not None:
        _require_one_call(posted, benchmark)
    elif not benchmark.is_noop:
        _require_some(questions, "questions")
    if not benchmark.is_noop:
        _require_some(models, "models")
    return JobSpec(
        id=posted.id,
        version=posted.version,
        benchmark=benchmark,
        container=_container(posted),
        questions=questions,
        request=posted.request,
        models=models,
        runs=posted.runs,
        constraints=_constraints(posted.constraints),
        execution=_execution(posted.execution),
        metadata=_metadata(posted.metadata),
    )


def _require_one_call(posted: _Posted, benchmark: Benchmark) -> None:
    """6.1: benchmark `openai` and `request` go together; one model, one execution, nothing to ask besides."""
    if not benchmark.is_openai or posted.request is None:
        raise InvalidError(
            f"benchmark {OPENAI} and a request go together", code="member_missing", field="request"
        )
    execution = posted.execution
    alone = (
        ("questions", not posted.questions),
        ("models", len(posted.models) == 1),
        ("runs", posted.runs == 1),
        ("execution.personas", not execution.personas),
        ("execution.arms", not execution.arms),
        ("execution.verification.replicas", execution.verification.replicas == 1),
        ("constraints.regions", len(posted.constraints.regions) <= 1),
    )
    for field_name, holds in alone:
        if not holds:
            raise InvalidError("a request is one execution", code="member_invalid", field=field_name)


def _benchmark(posted: str | _Benchmark) -> Benchmark:
    if isinstance(posted, str):
        return Benchmark(name=posted, version=None, description=None)
    return Benchmark(name=posted.name, version=posted.version, description=posted.description)


def _container(posted: _Posted) -> Container | None:
    inner = posted.benchmark.container if isinstance(posted.benchmark, _Benchmark) else None
    if posted.container is not None and inner is not None:
        raise InvalidError("the container is given twice", code="member_invalid", field="benchmark.container")
    container = posted.container or inner
    if container is None:
        return None
    if container.image not in (None, "", NOOP):
        raise UnsatisfiableError(
            f"the image {container.image!r} would have to run, and no container runtime exists here",
            code="container_unsupported",
            field="benchmark.container.image" if inner else "container.image",
            hint='leave the container out, or use the image "noop"',
        )
    return Container(
        image=container.image or "",
        tag=container.tag or "",
        command=container.command,
        environment=container.environment,
        resources=dict(container.resources),
    )


def _constraints(posted: _Constraints) -> Constraints:
    _require_distinct(posted.regions, "constraints.regions")
    if posted.regions and posted.min_regions > len(posted.regions):
        raise InvalidError(
            f"{posted.min_regions} of {len(posted.regions)} regions can never succeed",
            code="member_invalid",
            field="constraints.min_regions",
        )
    return Constraints(
        regions=posted.regions,
        min_regions=posted.min_regions,
        min_success_rate=posted.min_success_rate,
        timeout_s=posted.timeout_s,
        provider_timeout_s=posted.provider_timeout_s,
        max_cost_micro=_micro(posted.max_cost, "constraints.max_cost"),
        providers=posted.providers,
        labels=posted.labels,
    )


def _execution(posted: _Execution) -> Execution:
    _require_distinct([persona.id for persona in posted.personas], "execution.personas")
    _require_distinct([arm.id for arm in posted.arms], "execution.arms")
    quorum, replicas = posted.verification.quorum, posted.verification.replicas
    if quorum is not None and quorum > replicas:
        raise InvalidError(
            f"a quorum of {quorum} among {replicas} replicas is impossible",
            code="member_invalid",
            field="execution.verification.quorum",
        )
    valid_until = posted.valid_until
    return Execution(
        seed=posted.seed,
        sampling=posted.sampling,
        personas=posted.personas,
        arms=posted.arms,
        verification=posted.verification,
        visibility=posted.visibility,
        valid_until_ms=None
        if valid_until is None
        else parse_rfc3339(valid_until, field="execution.valid_until"),
        max_reruns=posted.max_reruns,
    )


def _metadata(posted: dict[str, str]) -> Metadata:
    if len(posted) > METADATA_MEMBERS_MAX:
        raise InvalidError(
            f"{len(posted)} members; the limit is {METADATA_MEMBERS_MAX}",
            code="member_invalid",
            field="metadata",
        )
    for name in ("timestamp", "nonce"):
        if name not in posted:
            raise InvalidError("this member is required", code=f"{name}_missing", field=f"metadata.{name}")
    if re.fullmatch(r"[!-~]{1,128}", posted["nonce"]) is None:
        raise InvalidError(
            "expected 1 to 128 visible ASCII characters", code="nonce_malformed", field="metadata.nonce"
        )
    return Metadata(
        timestamp_ms=parse_rfc3339(posted["timestamp"], field="metadata.timestamp"),
        nonce=posted["nonce"],
        extra={name: text for name, text in posted.items() if name not in ("timestamp", "nonce")},
    )


def _micro(cost: str | int | float | None, path: str) -> int | None:
    """Credits with at most six decimals as integer micro-credits, never through binary fractions."""
    if cost is None:
        return None
    text = cost if isinstance(cost, str) else f"{Decimal(repr(cost)):f}"
    if re.fullmatch(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,6})?", text) is None:
        raise InvalidError("expected credits: no sign, at most 6 decimals", code="member_invalid", field=path)
    if Decimal(text) > MAX_COST_CREDITS:
        raise InvalidError(f"more than {MAX_COST_CREDITS} credits", code="member_invalid", field=path)
    return int(Decimal(text) * 1_000_000)


def _require_some(items: Sequence[object], path: str) -> None:
    if not items:
        raise InvalidError("at least one is needed", code="member_missing", field=path)


def _require_distinct(names: Sequence[str], path: str) -> None:
    seen: set[str] = set()
    for position, name in enumerate(names):
        if name in seen:
            raise InvalidError(f"{name!r} stands twice", code="member_duplicate", field=f"{path}[{position}]")
        seen.add(name)
