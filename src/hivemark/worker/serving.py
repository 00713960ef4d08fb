"""Load the model, listen on loopback, say `ready`, serve until SIGTERM.

On SIGTERM the running generation ends in its own time (at most `GRACE_S`), waiting ones are refused.
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable
from collections.abc import Generator as Iterating
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from hivemark.engine import Model, load_model
from hivemark.worker.app import make_app
from hivemark.worker.generator import Generator
from hivemark.worker.identity import EngineInfo, Identity
from hivemark.worker.memory_limit import limit_memory
from hivemark.worker.start import StartOrder, encode_loading, encode_ready

GRACE_S: Final = 10
BACKLOG: Final = 64
KEEP_ALIVE_S: Final = 75  # longer than clients keep an idle connection, so that they close it first
# Shorter than Python's 5 ms, so that the event loop gets its turn while a generation computes.
SWITCH_INTERVAL_S: Final = 0.0005
PROGRESS_STEPS: Final = 10


def serve(order: StartOrder, *, write: Callable[[bytes], None]) -> None:
    """Serve until told to stop; `write` takes lines of the start protocol. Raises what loading raises."""
    path = Path(order.model_path)
    model = load_model(
        path,
        name=order.model_name,
        context_tokens_max=order.context_tokens_max,
        progress=_Progress(path, write),
    )
    limit_memory(needed_bytes=model.session_bytes_max)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    engine = EngineInfo.of_this_process(threads=order.threads)
    identity = Identity.of(model, engine, now_s=int(time.time()))
    asyncio.run(_serve(model, identity, token=order.token, write=write))


async def _serve(model: Model, identity: Identity, *, token: str, write: Callable[[bytes], None]) -> None:
    generator = Generator(model)
    config = uvicorn.Config(
        make_app(generator, identity, token=token),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it each answer waits 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        ready = encode_ready(port=listener.getsockname()[1], model=identity.model, engine=identity.engine)
        server = _Server(config, when_listening=lambda: write(ready))

        def stop() -> None:
            generator.drain()
            server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Uvicorn's server that says when it listens and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, *, when_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_listening = when_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_listening()

    @contextmanager
    def capture_signals(self) -> Iterating[None, None, None]:
        yield


class _Progress:
    """Writes `loading` lines, one for each tenth of the file at most."""

    def __init__(self, path: Path, write: Callable[[bytes], None]) -> None:
        self._path = path
        self._write = write
        self._bytes_total = 0
        self._bytes_next = 0

    def __call__(self, bytes_done: int) -> None:
        self._bytes_total = self._bytes_total or self._path.stat().st_size
        if bytes_done < self._bytes_next:
            return
        self._bytes_next = bytes_done + self._bytes_total // PROGRESS_STEPS
        self._write(encode_loading(bytes_done=bytes_done, bytes_total=self._bytes_total))
