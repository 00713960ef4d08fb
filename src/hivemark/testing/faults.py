"""Faults on command: a store behind a proxy that counts operations and strikes at one of them.

`Faults` is shared by the proxies of one test, so that "the seventh operation" means the seventh of all.
"""

import errno
import functools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast

from hivemark.coordinator.ports import BlobStore, LogStore, TileStore
from hivemark.coordinator.store.files import StorageUnavailable

_P = ParamSpec("_P")
_R = TypeVar("_R")

Strike = Literal["none", "kill_before", "kill_after", "disk_full"]
WRITES: Final = frozenset({"put", "write"})


@dataclass(slots=True)
class Faults:
    """What to do at operation number `at` (from 1). A full disk stays full until `at` is moved."""

    strike: Strike = "none"
    at: int = 0
    count: int = 0
    writes: int = 0
    names: list[str] = field(default_factory=list)

    def run(self, name: str, operation: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        self.count += 1
        self.names.append(name)
        if name in WRITES:
            self.writes += 1
            if self.strike == "disk_full" and self.writes >= self.at:
                raise StorageUnavailable(os.strerror(errno.ENOSPC), code="storage_unavailable")
        strikes_now = self.count == self.at
        if strikes_now and self.strike == "kill_before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = operation(*args, **kwargs)
        if strikes_now and self.strike == "kill_after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class FaultyBlobStore:
    """A `BlobStore` in front of another."""

    def __init__(self, inner: BlobStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def put(self, content: bytes) -> str:
        return self._faults.run("put", self._inner.put, content)

    def get(self, digest: str) -> bytes | None:
        return self._faults.run("get", self._inner.get, digest)

    def ping(self) -> None:
        self._faults.run("ping", self._inner.ping)


class FaultyTileStore:
    """A `TileStore` in front of another."""

    def __init__(self, inner: TileStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def write(self, path: str, content: bytes) -> None:
        self._faults.run("write", self._inner.write, path, content)

    def read(self, path: str) -> bytes | None:
        return self._faults.run("read", self._inner.read, path)


def faulty_log(inner: LogStore, faults: Faults) -> LogStore:
    """A `LogStore` in front of another: each of its methods counts as one operation."""
    return cast("LogStore", _Proxy(inner, faults))  # the proxy has whatever methods the inner one has


class _Proxy:
    def __init__(self, inner: object, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(self._faults.run, name, getattr(self._inner, name))
