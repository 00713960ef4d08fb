"""Which models exist: what the enrolled hives offer, and what a job's names resolve to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hivemark.coordinator.ports import HiveModel, HiveRow
from hivemark.errors import InvalidError, UnsatisfiableError
from hivemark.jobs.cells import ResolvedModel
from hivemark.protocol.jobspec_members import ModelRef


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """One model as the network has it; `hives` counts linked hives, `loaded` those that have it ready."""

    model: HiveModel
    hives: int
    loaded: int


def catalogue(hives: Iterable[HiveRow]) -> tuple[OfferedModel, ...]:
    """Every model of every active hive, one row per name and digest, by name."""
    offers: dict[tuple[str, str], list[tuple[HiveRow, HiveModel]]] = {}
    for hive in hives:
        if hive.status == "active":
            for model in hive.models:
                offers.setdefault((model.name, model.weights_sha256 or ""), []).append((hive, model))
    return tuple(
        OfferedModel(
            model=offered[0][1],
            hives=sum(hive.linked for hive, _ in offered),
            loaded=sum(hive.linked and model.loaded for hive, model in offered),
        )
        for _, offered in sorted(offers.items())
    )


def resolve_models(models: Sequence[ModelRef], hives: Iterable[HiveRow]) -> tuple[ResolvedModel, ...]:
    """One weights digest for every name, never a substitute; the field says which name fails.

    `unknown_model`: no hive of this network offers it. `ambiguous_model`: hives offer different weights
    under this name, and the job pins none.
    """
    offered = catalogue(hives)
    return tuple(_resolve(ref, offered, f"models[{index}]") for index, ref in enumerate(models))


def _resolve(ref: ModelRef, offered: Sequence[OfferedModel], field: str) -> ResolvedModel:
    digests = {row.model.weights_sha256 for row in offered if row.model.name == ref.name}
    if ref.digest is not None:
        digests &= {ref.digest}
    if not digests:
        names = sorted({row.model.name for row in offered})
        raise InvalidError(
            f"no hive of this network offers {ref.name}" + (" with this digest" if ref.digest else ""),
            code="unknown_model",
            field=field,
            hint=f"offered are {', '.join(names[:20])}" if names else "no hive has offered a model yet",
        )
    if len(digests) > 1:
        listed = ", ".join(sorted(digest or "unpinned" for digest in digests))
        raise UnsatisfiableError(
            f"several weights are offered as {ref.name}",
            code="ambiguous_model",
            field=field,
            hint=f"pin one as {{name, digest}}: {listed}",
        )
    return ResolvedModel(name=ref.name, weights_sha256=digests.pop())
