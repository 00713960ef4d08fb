"""One worker process: started, made ready and ended by the worker start protocol (docs/spec/worker.md).

The child leads its own process group and holds one end of a pipe whose other end only this process has
(descriptors are not inherited by siblings): when this process ends in any way, the child reads end of file
and exits. Ending it from here closes the pipe, then kills the group.
"""

import asyncio
import contextlib
import os
import resource
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from hivemark.errors import HivemarkError
from hivemark.hive.engines.base import EngineFacts
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.protocol.receipt import Engine as EngineRef
from hivemark.protocol.receipt import Model as ModelRef
from hivemark.protocol.shape import to_shape

LINE_BYTES_MAX: Final = 65_536
STOP_GRACE_S: Final = 1.0
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
_ENVIRONMENT_PREFIXES: Final = ("LC_", "PYTHON", "CUDA_", "OPENBLAS_", "OMP_", "MKL_", "COV_")


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What to start and what to tell it. `memory_bytes_max` bounds its address space (Linux)."""

    command: Sequence[str]
    model_path: str
    model_name: str
    threads: int
    load_timeout_s: float
    context_tokens_max: int | None = None
    memory_bytes_max: int | None = None


@dataclass(slots=True)
class WorkerProcess:
    """A worker that answers on `port` of the loopback address to whoever has `token`."""

    process: asyncio.subprocess.Process
    port: int
    token: str = field(repr=False)
    facts: EngineFacts
    _attending: asyncio.Task[None]

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet, as far as is known."""
        return self.process.returncode is None

    @property
    def url(self) -> str:
        """Where its HTTP server stands."""
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """End it and wait until it is gone."""
        await _end(self.process)
        self._attending.cancel()


async def start_worker(order: WorkerOrder) -> WorkerProcess:
    """Start, load, and return it ready; raises `EngineFailure` of stage load, and leaves nothing behind."""
    token = secrets.token_urlsafe(32)
    process = await _spawn(order)
    try:
        async with asyncio.timeout(order.load_timeout_s):
            await _give_order(process, order, token)
            ready = await _wait_until_ready(process)
        facts = ready.facts()
    except TimeoutError:
        await _end(process)
        message = f"the model was not loaded within {order.load_timeout_s:g} s"
        raise EngineFailure(Stage.LOAD, "load_timeout", message) from None
    except BaseException:
        await _end(process)
        raise
    attending = asyncio.create_task(_attend(process), name=f"worker-{process.pid}")
    return WorkerProcess(process, ready.port, token, facts, attending)


async def _spawn(order: WorkerOrder) -> asyncio.subprocess.Process:
    try:
        process = await asyncio.create_subprocess_exec(
            *order.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
            env=worker_environment(os.environ),
            start_new_session=True,
            close_fds=True,
            limit=LINE_BYTES_MAX,
        )
    except OSError as error:
        message = f"the worker could not be started: {error.strerror}"
        raise EngineFailure(Stage.LOAD, "start_failed", message) from error
    if order.memory_bytes_max is not None and sys.platform == "linux":
        limit = order.memory_bytes_max
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
    return process


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a worker needs of the environment; what this agent was told in it stays here."""
    return {
        name: value
        for name, value in environment.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }


class _Event(msgspec.Struct):
    event: str
    port: int = 0
    model: dict[str, Any] = {}
    engine: dict[str, Any] = {}
    code: str = "load_failed"
    message: str = "the worker gave no reason"

    def facts(self) -> EngineFacts:
        """Raises `EngineFailure` when the worker does not tell what it is."""
        try:
            engine = to_shape(_members(EngineRef, self.engine), EngineRef, prefix="engine")
            model = to_shape(_members(ModelRef, self.model), ModelRef, prefix="model")
        except HivemarkError as error:
            raise _broken(f"it does not say what it is: {error}") from error
        return EngineFacts(engine, model)


def _members(shape: type[msgspec.Struct], value: Mapping[str, Any]) -> dict[str, Any]:
    """The members a receipt has; a worker may tell more."""
    return {name: value.get(name) for name in shape.__struct_fields__}


async def _give_order(process: asyncio.subprocess.Process, order: WorkerOrder, token: str) -> None:
    start = {
        "model_path": order.model_path,
        "model_name": order.model_name,
        "token": token,
        "threads": order.threads,
        "context_tokens_max": order.context_tokens_max,
    }
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(start) + b"\n")
    # A child that died early is reported by its silence on stdout, with its exit status.
    with contextlib.suppress(ConnectionError):
        await process.stdin.drain()


async def _wait_until_ready(process: asyncio.subprocess.Process) -> _Event:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError as error:
            raise _broken(f"a line is longer than {LINE_BYTES_MAX} bytes") from error
        if not line.endswith(b"\n"):
            status = await _wait_until_ended(process, every_s=0.02)
            message = f"the worker ended with status {status} before it was ready"
            raise EngineFailure(Stage.LOAD, "worker_died", message)
        try:
            event = msgspec.json.decode(line, type=_Event)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _broken(str(error)) from error
        match event.event:
            case "loading":
                continue
            case "ready" if 0 < event.port < 65_536:
                return event
            case "failed":
                raise EngineFailure(Stage.LOAD, event.code, event.message)
            case _:
                raise _broken(f"unexpected event {event.event!r}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the pipe, wait a moment, kill the group. Runs to its end even when the caller is cancelled."""
    await asyncio.shield(asyncio.ensure_future(_end_at_once(process)))


async def _end_at_once(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_GRACE_S):
            await _wait_until_ended(process, every_s=0.02)
    _kill_group(process)
    await _wait_until_ended(process, every_s=0.02)


async def _attend(process: asyncio.subprocess.Process) -> None:
    """Nothing is said after ready; what comes anyway must not fill the pipe. When it ends, its group ends."""
    assert process.stdout is not None
    draining = asyncio.create_task(_drain(process.stdout))
    try:
        await _wait_until_ended(process, every_s=0.25)
        _kill_group(process)
    finally:
        draining.cancel()


async def _wait_until_ended(process: asyncio.subprocess.Process, *, every_s: float) -> int:
    """`Process.wait` also waits for the pipes, which a child of the worker may hold open."""
    while process.returncode is None:
        await asyncio.sleep(every_s)
    return process.returncode


async def _drain(stdout: asyncio.StreamReader) -> None:
    while await stdout.read(LINE_BYTES_MAX):
        pass


def _kill_group(process: asyncio.subprocess.Process) -> None:
    """At once or right after its leader ended: later, the number might belong to somebody else."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _broken(reason: str) -> EngineFailure:
    return EngineFailure(Stage.LOAD, "start_protocol_broken", f"the worker broke the protocol: {reason}")
