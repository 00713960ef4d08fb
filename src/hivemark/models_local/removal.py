"""Removing a model of this machine, unless a hive uses it."""

import fcntl

from hivemark.errors import ConflictError, NotFoundError
from hivemark.models_local.folder import ModelFolder
from hivemark.models_local.partial import open_part


def remove(folder: ModelFolder, name: str, *, force: bool) -> int:
    """Remove the model or what there is of it; the bytes that this frees.

    Raises `NotFoundError` code `model_not_here`; `ConflictError` code `model_in_use` unless `force`d, and
    `pull_running` while it is being fetched.
    """
    places = (folder.file(name), folder.part(name), folder.record_file(name))
    if not any(place.exists() for place in places):
        raise NotFoundError(
            f"there is no pulled model {name} on this machine",
            code="model_not_here",
            hint="hivemark models ls",
        )
    with open_part(folder, name) as part:
        freed = part.size_bytes
        if folder.file(name).exists():
            freed += folder.file(name).stat().st_size
            if not force:
                _require_unused(folder, name)
        folder.remove(name)
    return freed


def _require_unused(folder: ModelFolder, name: str) -> None:
    with folder.file(name).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"a hive of this machine has {name} loaded",
                code="model_in_use",
                hint=f"hivemark models rm {name} --force (answers that are being made are finished)",
            ) from error
