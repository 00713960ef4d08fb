"""The cells of a job: one execution for each combination of the dimensions its spec names.

A dimension a spec leaves out counts as one, with index 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from hivemark.errors import UnsatisfiableError
from hivemark.protocol.jobspec_members import Arm, JobSpec

EXECUTIONS_MAX: Final = 5_000


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What a model name stands for since submission. `weights_sha256` is None for an unpinned model."""

    name: str
    weights_sha256: str | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One execution to be: 0-based indices into the spec's dimensions, and what it needs of a hive."""

    question: int
    persona: int
    model: int
    region_index: int
    arm: int
    repeat: int
    replica: int
    resolved_model: ResolvedModel | None
    region: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an arm's cells run."""

    region_index: int
    region: str | None
    arm: int


def expand(
    spec: JobSpec, *, models: tuple[ResolvedModel, ...], regions: tuple[str | None, ...]
) -> tuple[Cell, ...]:
    """Every cell of the job, repeats outermost and regions innermost, so that what will be compared between
    regions runs at about the same time. `models` resolves `spec.models` in order; `regions` is
    `spec.constraints.regions`, or what the caller puts in its place when that is empty.

    A `noop` has no question, persona or model. Raises `UnsatisfiableError` with code `too_many_executions`
    beyond `EXECUTIONS_MAX`.
    """
    noop = spec.benchmark.is_noop
    assert noop or len(models) == len(spec.models)
    questions = 1 if noop else max(1, len(spec.questions))  # a call of an OpenAI endpoint has none
    personas = 1 if noop else max(1, len(spec.execution.personas))
    chosen: Sequence[ResolvedModel | None] = (None,) if noop else models
    places = _places(regions or (None,), spec.execution.arms)
    replicas = spec.execution.verification.replicas
    _require_few(spec.runs * questions * personas * len(chosen) * replicas * len(places))
    return tuple(
        Cell(
            question=question,
            persona=persona,
            model=model,
            region_index=place.region_index,
            arm=place.arm,
            repeat=repeat,
            replica=replica,
            resolved_model=chosen[model],
            region=place.region,
        )
        for repeat, question, persona, model, replica, place in product(
            range(spec.runs), range(questions), range(personas), range(len(chosen)), range(replicas), places
        )
    )


def _places(regions: tuple[str | None, ...], arms: tuple[Arm, ...]) -> tuple[_Place, ...]:
    """Each arm in each region, but an arm that names a region in that one alone; a region only arms name
    gets an index after the others."""
    named = [arm.region for arm in arms if arm.region is not None and arm.region not in regions]
    known: list[str | None] = [*regions, *dict.fromkeys(named)]
    wanted: list[tuple[int, str | None]] = [(index, arm.region) for index, arm in enumerate(arms)] or [
        (0, None)
    ]
    return tuple(
        _Place(region_index=known.index(place), region=place, arm=arm)
        for arm, only in wanted
        for place in (regions if only is None else (only,))
    )


def _require_few(count: int) -> None:
    if count > EXECUTIONS_MAX:
        raise UnsatisfiableError(
            f"this job has {count:,} executions; the limit is {EXECUTIONS_MAX:,}",
            code="too_many_executions",
            hint="split it into several jobs",
        )
