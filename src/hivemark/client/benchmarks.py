"""Building the JobSpec of a benchmark, ready to be signed (spec/jobspec)."""

from collections.abc import Sequence
from dataclasses import dataclass

from hivemark.protocol.strictjson import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The same questions to several models in several regions, `repeats` times each.

    A question or model may be named by id or given in full as in spec/jobspec. `max_tokens` limits each
    answer.
    """

    id: str
    name: str
    questions: Sequence[str | JsonObject]
    models: Sequence[str | JsonObject]
    regions: Sequence[str] = ()
    repeats: int = 1
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    visibility: str | None = None
    min_success_rate: float | None = None
    timeout_s: int | None = None
    description: str | None = None


def build_spec(benchmark: Benchmark) -> JsonObject:
    """The unsigned JobSpec; members left at their default are left out, so a reader sees what was chosen."""
    described: JsonObject = {"name": benchmark.name}
    if benchmark.description is not None:
        described["description"] = benchmark.description
    execution: JsonObject = {
        "seed": benchmark.seed,
        "sampling": {"temperature": benchmark.temperature, "max_tokens": benchmark.max_tokens},
    }
    if benchmark.visibility is not None:
        execution["visibility"] = benchmark.visibility
    return {
        "id": benchmark.id,
        "version": "1",
        "benchmark": described,
        "questions": list(benchmark.questions),
        "models": list(benchmark.models),
        "runs": benchmark.repeats,
        "constraints": _constraints(benchmark),
        "execution": execution,
    }


def _constraints(benchmark: Benchmark) -> JsonObject:
    constraints: JsonObject = {}
    if benchmark.regions:
        constraints["regions"] = list(benchmark.regions)
        constraints["min_regions"] = len(benchmark.regions)
    if benchmark.min_success_rate is not None:
        constraints["min_success_rate"] = benchmark.min_success_rate
    if benchmark.timeout_s is not None:
        constraints["timeout_s"] = benchmark.timeout_s
    return constraints
