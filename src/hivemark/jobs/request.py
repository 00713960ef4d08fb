"""The effective request of a cell: exactly what a hive is asked to run, and what its receipt commits to."""

from dataclasses import dataclass
from typing import Final

from hivemark.jobs.cells import Cell
from hivemark.protocol.jobspec_members import JobSpec
from hivemark.protocol.strictjson import JsonObject, JsonValue

_SEED_SPACE: Final = 2**53


@dataclass(frozen=True, slots=True)
class ResolvedQuestion:
    """A question with its text. `set_sha256` is None for one that was posted in full."""

    id: str
    text: str
    set_sha256: str | None


def effective_request(spec: JobSpec, cell: Cell, question: ResolvedQuestion | None) -> JsonObject:
    """`{model, messages, sampling, seed, question}` as `api.link.Lease.request` carries it.

    `question` is None for a `noop` alone, which has neither model nor messages.
    """
    noop = spec.benchmark.is_noop
    assert noop == (question is None) == (cell.resolved_model is None)
    sampling = spec.execution.sampling
    return {
        "model": _model(cell),
        "messages": _messages(spec, cell, question),
        "sampling": {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop),
        },
        "seed": cell_seed(spec, cell),
        "question": None if question is None else {"id": question.id, "set_sha256": question.set_sha256},
    }


def cell_seed(spec: JobSpec, cell: Cell) -> int:
    """(the spec's seed + the repeat) mod 2^53. The same repeat has the same seed for every question, model,
    region and replica, so that what is compared is paired; each repeat draws anew."""
    return _repeat_seed(spec, cell.repeat)


def seeds_of(spec: JobSpec) -> frozenset[int]:
    """The seeds that a cell of this spec may have: one per repeat."""
    return frozenset(_repeat_seed(spec, repeat) for repeat in range(spec.runs))


def messages_of(spec: JobSpec, question: str) -> tuple[JsonValue, ...]:
    """The messages that may be put to a model for this question: one list per persona."""
    asked: JsonValue = {"role": "user", "content": question}
    personas = spec.execution.personas
    if not personas:
        return ([asked],)
    return tuple([{"role": "system", "content": persona.system}, asked] for persona in personas)


def _repeat_seed(spec: JobSpec, repeat: int) -> int:
    return (spec.execution.seed + repeat) % _SEED_SPACE


def _model(cell: Cell) -> JsonValue:
    model = cell.resolved_model
    return None if model is None else {"name": model.name, "weights_sha256": model.weights_sha256}


def _messages(spec: JobSpec, cell: Cell, question: ResolvedQuestion | None) -> JsonValue:
    """The persona as the system message, then the question."""
    return [] if question is None else messages_of(spec, question.text)[cell.persona]
