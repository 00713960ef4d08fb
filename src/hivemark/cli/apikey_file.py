"""The API key of this home: its token in a file that only its owner may read, as the account key is kept.

The coordinator has nothing but its digest, so a file that is lost is a key that has to be made again.
"""

import os
import re
import stat
from pathlib import Path
from typing import Final

from hivemark.errors import ForbiddenError, InvalidError, NotFoundError

_TOKEN: Final = re.compile(r"hm_[A-Za-z0-9_-]{43}")
_BYTES_MAX: Final = 128
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def load_token(path: Path) -> str:
    """Raises `NotFoundError` `api_key_file_missing`, `ForbiddenError` `api_key_file_exposed` when others have
    any right on the file, `InvalidError` `api_key_file_malformed`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no API key in {path}",
            code="api_key_file_missing",
            hint="hivemark up makes one; or hivemark api-keys create --save",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & _OTHERS:
            raise ForbiddenError(
                f"{path} has mode {stat.S_IMODE(mode):04o}: others may use the API key",
                code="api_key_file_exposed",
                hint=f"chmod 0600 {path}; if others could have read it, hivemark api-keys revoke it",
            )
        token = file.read(_BYTES_MAX).decode("ascii", "replace").strip()
    if _TOKEN.fullmatch(token) is None:
        raise InvalidError(
            f"{path} holds no API key",
            code="api_key_file_malformed",
            hint=f"remove {path}, then hivemark up or hivemark api-keys create --save",
        )
    return token


def save_token(path: Path, token: str) -> None:
    """Durable, mode 0600; replaces what was there whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(token.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def forget_token(path: Path, token_start: str) -> bool:
    """Remove the file if it holds the token that begins so; whether it did."""
    try:
        is_it = path.read_bytes().startswith(token_start.encode())
    except FileNotFoundError:
        return False
    if is_it:
        path.unlink()
    return is_it
