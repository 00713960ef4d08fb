"""The demo models that come with the package: files, a catalogue that pins them, and nothing else.

Imports no NumPy, so the hive agent may read it. Digests are pinned in `catalog.json`; whoever loads a
file compares (`engine.load_model` reports the digest of the bytes it read).
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

__all__ = ["ShippedModel", "shipped"]


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """One model file inside the package; `card` is its description for people (Markdown)."""

    name: str
    path: Path
    weights_sha256: str
    size_bytes: int
    quantisation: str
    parameters: int
    context_tokens: int
    licence: str
    card: Path


def shipped() -> tuple[ShippedModel, ...]:
    """The shipped models in catalogue order; the first one is the default of the demo."""
    folder = Path(str(files(__name__)))
    catalogue = json.loads((folder / "catalog.json").read_text(encoding="utf-8"))
    return tuple(
        ShippedModel(
            name=entry["name"],
            path=folder / entry["file"],
            weights_sha256=entry["weights_sha256"],
            size_bytes=entry["size_bytes"],
            quantisation=entry["quantisation"],
            parameters=entry["parameters"],
            context_tokens=entry["context_tokens"],
            licence=entry["licence"],
            card=folder / entry["card"],
        )
        for entry in catalogue["models"]
    )
