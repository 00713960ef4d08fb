"""The effective request of a cell: exactly what a hive is asked to run, and what its receipt commits to."""

from dataclasses import dataclass
from typing import Final

from hivemark.jobs.cells import Cell
from hivemark.protocol.answers import Endpoint
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.commitment import commit
from hivemark.protocol.jobspec_members import JobSpec
from hivemark.protocol.strictjson import JsonObject, JsonValue

_SEED_SPACE: Final = 2**53


@dataclass(frozen=True, slots=True)
class ResolvedQuestion:
    """A question with its text. `set_sha256` is None for one that was posted in full."""

    id: str
    text: str
    set_sha256: str | None


SERVICE_MEMBERS: Final = frozenset(
    {"store", "metadata", "user", "safety_identifier", "prompt_cache_key", "service_tier"}
)
"""Members of an OpenAI call that are for the service: no hive gets them, and no commitment covers them."""


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call of an OpenAI endpoint as a hive gets it; `commitment` binds the spec to it (spec/jobspec 6)."""

    endpoint: Endpoint
    body: JsonObject
    salt: bytes

    @property
    def commitment(self) -> str:
        """Over the RFC 8785 form of the body, under the salt."""
        return commit(self.salt, encode_canonical(self.body))


def forwarded(body: JsonObject) -> JsonObject:
    """The posted body without what is for the service alone."""
    return {name: value for name, value in body.items() if name not in SERVICE_MEMBERS}


def call_request(spec: JobSpec, cell: Cell, call: OpenCall) -> JsonObject:
    """The effective request of a call: as `effective_request`, with `call` in the place of messages."""
    return {
        **effective_request(spec, cell, None),
        "call": {"endpoint": call.endpoint, "body": call.body, "salt": encode_base64(call.salt)},
    }


def without_body(request: JsonObject) -> JsonObject:
    """The effective request of a call as it may be kept: everything but the client's text."""
    call = request.get("call")
    if not isinstance(call, dict):
        return request
    return {**request, "call": {name: value for name, value in call.items() if name != "body"}}


def effective_request(spec: JobSpec, cell: Cell, question: ResolvedQuestion | None) -> JsonObject:
    """`{model, messages, sampling, seed, question}` as `api.link.Lease.request` carries it.

    `question` is None for a `noop` alone, which has neither model nor messages.
    """
    assert spec.benchmark.asks_questions == (question is not None)
    assert spec.benchmark.is_noop == (cell.resolved_model is None)
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
