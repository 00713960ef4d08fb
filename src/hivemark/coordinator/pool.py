"""The bounded thread pool in which the shells run services: the event loop itself never waits for a disk."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from hivemark.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4
WAITING_MAX: Final = 1_024


class Busy(UnavailableError):
    """More work waits than this coordinator will take on; try again."""


class Pool:
    """Runs calls in `THREADS` threads; refuses when `WAITING_MAX` calls are under way or wait."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="service")
        self._under_way = 0

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of `call`, or what it raised. The call goes on when the waiter is cancelled."""
        if self._under_way >= WAITING_MAX:
            raise Busy(code="busy")
        self._under_way += 1
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, functools.partial(call, *args, **kwargs))
        future.add_done_callback(self._done)
        return await future

    def _done(self, _: "asyncio.Future[T]") -> None:
        self._under_way -= 1

    def close(self) -> None:
        """Wait for what is under way."""
        self._executor.shutdown(wait=True)
