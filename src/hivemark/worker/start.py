"""The start protocol between a hive and a worker, both directions, as bytes.

1. The parent writes one JSON line to the worker's standard input and keeps it open: `StartOrder`.
2. The worker writes JSON lines to its standard output: `loading` any number of times, then `ready` or
   `failed` once, and nothing after that. Its logs go to standard error.
3. End of file on standard input at any time ends the worker at once.

Imports the standard library only: it runs before NumPy may be imported (the number of threads is fixed
when the BLAS library is loaded).
"""

import json
from dataclasses import dataclass, fields
from typing import Final

from hivemark.errors import InvalidError

LINE_BYTES_MAX: Final = 65_536
THREADS_MAX: Final = 256
TOKEN_CHARACTERS_MIN: Final = 16
# Each BLAS that NumPy may have been built with reads its own variable.
THREAD_VARIABLES: Final = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class StartOrder:
    """What the parent asks for. `token` is the bearer token of this one process; it is never shown."""

    model_path: str
    model_name: str
    token: str
    threads: int
    context_tokens_max: int | None

    def __repr__(self) -> str:
        return f"StartOrder(model_name={self.model_name!r}, threads={self.threads})"


def parse_start(line: bytes) -> StartOrder:
    """Read the parent's line; `InvalidError` code `start_invalid` names the member. Strict both ways."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise _invalid("the line is not JSON") from error
    names = [field.name for field in fields(StartOrder)]
    if not isinstance(value, dict):
        raise _invalid("the line is not an object")
    for name in sorted({*value} ^ {*names}):
        raise _invalid("unknown" if name in value else "missing", field=name)
    for name in ("model_path", "model_name", "token"):
        if not isinstance(value[name], str) or not value[name]:
            raise _invalid("a string is needed", field=name)
    if len(value["token"]) < TOKEN_CHARACTERS_MIN:
        raise _invalid(f"fewer than {TOKEN_CHARACTERS_MIN} characters", field="token")
    if type(value["threads"]) is not int or not 1 <= value["threads"] <= THREADS_MAX:
        raise _invalid(f"not 1 to {THREADS_MAX}", field="threads")
    limit = value["context_tokens_max"]
    if limit is not None and (type(limit) is not int or limit < 1):
        raise _invalid("neither null nor a number of tokens", field="context_tokens_max")
    return StartOrder(**value)


def encode_loading(*, bytes_done: int, bytes_total: int) -> bytes:
    """Progress: bytes of tensors read so far, bytes of the file."""
    return _line({"event": "loading", "bytes_done": bytes_done, "bytes_total": bytes_total})


def encode_ready(*, port: int, model: dict[str, object], engine: dict[str, object]) -> bytes:
    """The worker answers on 127.0.0.1:`port`."""
    return _line({"event": "ready", "port": port, "model": model, "engine": engine})


def encode_failed(*, code: str, message: str) -> bytes:
    """The worker gives up; the process ends with status 1."""
    return _line({"event": "failed", "code": code, "message": message})


def thread_environment(threads: int) -> dict[str, str]:
    """The variables that hold BLAS to `threads`; to be set before NumPy is imported."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _invalid(message: str, *, field: str | None = None) -> InvalidError:
    return InvalidError(message, code="start_invalid", field=field)
