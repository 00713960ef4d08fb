"""The one place where the engine opens a file."""

import mmap
from collections.abc import Callable
from pathlib import Path

from hivemark.engine.model import Model, parse_model
from hivemark.errors import InvalidError, NotFoundError


def load_model(
    path: Path,
    *,
    name: str | None = None,
    context_tokens_max: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Model:
    """Load a GGUF file (`model.parse_model`); `NotFoundError` code `model_file` when it cannot be opened.

    The file is mapped, so its bytes are not held beside the float32 weights; it must not shrink meanwhile.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise InvalidError("the file is empty", code="gguf_malformed")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}", code="model_file") from error
    with mapped, memoryview(mapped) as raw:
        return parse_model(raw, name=name, context_tokens_max=context_tokens_max, progress=progress)
