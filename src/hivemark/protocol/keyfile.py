"""Private keys on disk: the one module of `protocol` that touches files (spec/keys 3.3)."""

import json
import os
import stat
from pathlib import Path
from typing import Final

from hivemark.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hivemark.protocol.keys import (
    PrivateKey,
    encode_private_key_json,
    encode_private_key_pem,
    parse_private_key,
)

KEY_FILE_BYTES_MAX: Final = 16_384
_READABLE_BY_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def load_private_key(path: Path) -> PrivateKey:
    """The key in a JSON or PEM file.

    Raises `NotFoundError`; `ForbiddenError` with code `key_file_exposed` when group or others have any right
    on it; `InvalidError` when it holds no key. The mode is asked of the open file, not of its name.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no key file {path}", code="key_file_missing") from error
    except PermissionError as error:
        raise ForbiddenError(f"the key file {path} may not be read", code="key_file_unreadable") from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise InvalidError(f"{path} is not a file", code="private_key_malformed")
        if mode & _READABLE_BY_OTHERS:
            raise ForbiddenError(
                f"the key file {path} has mode {stat.S_IMODE(mode):04o}: others may use the key",
                code="key_file_exposed",
                hint=f"chmod 0600 {path}; if others could have read it, make a new key",
            )
        return parse_private_key(file.read(KEY_FILE_BYTES_MAX))


def save_private_key(path: Path, key: PrivateKey, *, created: str, owner_id: str | None = None) -> None:
    """Write the JSON form, durable and readable by its owner alone; never overwrites (`ConflictError`)."""
    value = encode_private_key_json(key, created=created, owner_id=owner_id)
    _write_once(path, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def save_private_key_pem(path: Path, key: PrivateKey) -> None:
    """The same in the PEM form, which other programs read; it has no place for an id or a time."""
    _write_once(path, encode_private_key_pem(key))


def _write_once(path: Path, raw: bytes) -> None:
    """Written under another name and then linked: after a crash `path` holds the whole key, or is absent."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fchmod(file.fileno(), 0o400)
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError as error:
        raise ConflictError(f"{path} exists; keys are never overwritten", code="key_file_exists") from error
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
