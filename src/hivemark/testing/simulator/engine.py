"""The simulated engine: nothing but chance. When a run begins, how long it takes and how it ends is drawn."""

from dataclasses import dataclass
from random import Random
from typing import Final

from hivemark.hive.engines.base import Chunk, EngineFacts
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.recording import Recording
from hivemark.hive.request import EffectiveRequest
from hivemark.hive.runner import Attempted
from hivemark.protocol.receipt import Engine, Model, Usage

MODEL: Final = "simulated-model"
WEIGHTS_SHA256: Final = "5" * 64
BEGIN_MS: Final = (5, 400)
RUN_MS: Final = (50, 3_000)
LONG_RUN_MS: Final = (8_000, 30_000)

_ENGINE: Final = Engine(
    name="chance", version="1", build=None, backend=None, dtype=None, architecture=None, threads=None
)
_MODEL: Final = Model(
    name=MODEL, weights_sha256=WEIGHTS_SHA256, tokenizer_sha256=None, template_sha256=None, quantisation=None
)


@dataclass(frozen=True, slots=True)
class Moods:
    """How the engine behaves: chances per attempt."""

    declines: float = 0.0
    fails_transiently: float = 0.0
    fails_for_good: float = 0.0
    takes_long: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """What will become of one attempt: when it begins, how long it takes, how it fails."""

    is_declined: bool
    begins_after_ms: int
    takes_ms: int
    failure: EngineFailure | None


def draw_run(random: Random, moods: Moods) -> Run:
    """One run in these moods."""
    drawn = random.random()
    span = LONG_RUN_MS if random.random() < moods.takes_long else RUN_MS
    return Run(
        is_declined=drawn < moods.declines,
        begins_after_ms=random.randint(*BEGIN_MS),
        takes_ms=random.randint(*span),
        failure=_failure(drawn - moods.declines, moods),
    )


def attempted(request: EffectiveRequest, run: Run, *, output_salt: bytes, finished_ms: int) -> Attempted:
    """The finished run, as `hive/runner.py` would tell it."""
    recording = Recording(output_salt=output_salt, max_tokens=request.sampling.max_tokens)
    if run.failure is None and request.model is not None:
        recording.add(Chunk(text=f"seed {request.seed}", token_ids=(1, 2)))
        recording.usage = Usage(prompt_tokens=4, completion_tokens=2)
    if run.failure is None:
        recording.finish_reason = "stop"
    return Attempted(
        facts=EngineFacts(engine=_ENGINE, model=None if request.model is None else _MODEL),
        recording=recording,
        started_ms=finished_ms - run.takes_ms,
        finished_ms=finished_ms,
        duration_us=run.takes_ms * 1000,
        failure=run.failure,
    )


def _failure(drawn: float, moods: Moods) -> EngineFailure | None:
    if drawn < 0:
        return None
    if drawn < moods.fails_transiently:
        return EngineFailure(Stage.STREAM, "engine_crashed", "the worker is gone")
    if drawn < moods.fails_transiently + moods.fails_for_good:
        return EngineFailure(Stage.REQUEST, "request_refused", "the engine refused", transient=False)
    return None
