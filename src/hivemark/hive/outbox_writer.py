"""The outbox beside an event loop: one thread owns the file; what arrives together is written together."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from hivemark.errors import UnavailableError
from hivemark.hive.outbox import Outbox, StoredResult

AT_HAND_BYTES_MAX: Final = 4_194_304

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class OutboxWriter:
    """Results put in while one transaction is being synced share the next: one fsync for all of them."""

    def __init__(self, outbox: Outbox) -> None:
        self.is_writable = True  # as of the last write
        self._outbox = outbox
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._puts: list[tuple[StoredResult, asyncio.Future[None]]] = []
        self._forgets: list[str] = []
        self._at_hand: dict[str, bytes] = {}  # bodies that were just put, until they are first asked for
        self._at_hand_bytes = 0
        self._flushing: asyncio.Task[None] | None = None

    async def put(self, result: StoredResult) -> None:
        """Returns once it is durable; raises `UnavailableError` when it cannot be written."""
        written = asyncio.get_running_loop().create_future()
        self._puts.append((result, written))
        self._ensure_flushing()
        await written

    def forget(self, attempt: str) -> None:
        """Soon; a result that outlives a crash by this is posted again and answered `duplicate`."""
        self._take_at_hand(attempt)
        self._forgets.append(attempt)
        self._ensure_flushing()

    async def probe(self) -> None:
        """Find out whether the file takes writes; then whatever could not be forgotten is."""
        try:
            await self._call(self._outbox.probe)
        except sqlite3.Error:
            self.is_writable = False
            return
        self.is_writable = True
        self._ensure_flushing()

    async def shelve(self, attempt: str, code: str) -> None:
        """As `Outbox.shelve`."""
        await self._call(partial(self._outbox.shelve, attempt, code))

    async def body(self, attempt: str) -> bytes | None:
        """As `Outbox.body`; the first post of a result need not wait for its turn at the file."""
        at_hand = self._take_at_hand(attempt)
        return at_hand if at_hand is not None else await self._call(partial(self._outbox.body, attempt))

    async def close(self) -> None:
        """Write what is left, then close the file."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        await self._call(self._outbox.close)
        self._thread.shutdown()

    def _ensure_flushing(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="outbox-flush")

    async def _flush(self) -> None:
        while self._puts or (self._forgets and self.is_writable):
            puts, self._puts = self._puts, []
            forgets, self._forgets = self._forgets, []
            await self._write_puts(puts)
            await self._write_forgets(forgets)

    async def _write_puts(self, puts: list[tuple[StoredResult, asyncio.Future[None]]]) -> None:
        if not puts:
            return
        try:
            await self._call(partial(self._outbox.put, [result for result, _ in puts]))
        except sqlite3.Error as error:
            self.is_writable = False
            failed = UnavailableError(f"the outbox cannot be written: {error}", code="outbox_unwritable")
            for _, written in puts:
                if not written.done():
                    written.set_exception(failed)
            return
        self.is_writable = True
        for result, written in puts:
            if not written.done():
                self._keep_at_hand(result)
                written.set_result(None)

    def _keep_at_hand(self, result: StoredResult) -> None:
        self._take_at_hand(result.attempt)
        if self._at_hand_bytes + len(result.body) <= AT_HAND_BYTES_MAX:
            self._at_hand[result.attempt] = result.body
            self._at_hand_bytes += len(result.body)

    def _take_at_hand(self, attempt: str) -> bytes | None:
        body = self._at_hand.pop(attempt, None)
        self._at_hand_bytes -= len(body or b"")
        return body

    async def _write_forgets(self, forgets: list[str]) -> None:
        try:
            if forgets:
                await self._call(partial(self._outbox.forget, forgets))
        except sqlite3.Error as error:
            self.is_writable = False
            self._forgets = forgets + self._forgets
            _log.warning("outbox_unwritable", extra={"reason": str(error), "forgets": len(forgets)})

    async def _call(self, operation: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, operation)
