"""One generation at a time in a thread of its own, asked for and read from the event loop.

Requests take turns in the order they came; at most `WAITING_MAX` wait. Whoever stops reading stops the
generation: the thread looks before each token and each pass over a prompt.
"""

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hivemark.engine import Model, Piece, Sampling, generate
from hivemark.engine.generation import require_context
from hivemark.errors import HivemarkError, InternalError, UnavailableError
from hivemark.worker.chat_request import ChatRequest

WAITING_MAX: Final = 8
SEED_BITS: Final = 53  # a drawn seed survives JSON readers that hold numbers as doubles
TEMPERATURE_DEFAULT: Final = 1.0  # OpenAI's


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the thread settled before the first token."""

    prompt_tokens: int
    seed: int


class Generator:
    """Owner of the model's one computing thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate")
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._is_draining = False

    @property
    def is_busy(self) -> bool:
        """Whether a generation runs."""
        return self._turn.locked()

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._waiting

    def drain(self) -> None:
        """Refuse what has not begun; what runs goes on."""
        self._is_draining = True

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until the thread is free. `UnavailableError`: `queue_full`, or `draining` while stopping."""
        if self._turn.locked() and self._waiting >= WAITING_MAX:
            raise UnavailableError(f"{WAITING_MAX} requests are waiting already", code="queue_full")
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            if self._is_draining:
                raise UnavailableError("the worker is stopping", code="draining")
            yield
        finally:
            self._turn.release()

    async def pieces(self, request: ChatRequest) -> AsyncGenerator[Prepared | Piece, None]:
        """First what was settled, then the pieces. Raises what the engine raises; leaving ends the work."""
        loop = asyncio.get_running_loop()
        inbox: asyncio.Queue[Prepared | Piece | HivemarkError | None] = asyncio.Queue()
        left = threading.Event()

        def deliver(item: Prepared | Piece | HivemarkError | None) -> None:
            loop.call_soon_threadsafe(inbox.put_nowait, item)

        work = loop.run_in_executor(self._thread, self._work, request, left, deliver)
        try:
            while (item := await inbox.get()) is not None:
                if isinstance(item, HivemarkError):
                    try:
                        raise item
                    finally:
                        del item  # else frame and exception hold each other, and what the frames hold, alive
                yield item
            await work
        finally:
            left.set()
            await asyncio.wait((work,))

    def _work(
        self,
        request: ChatRequest,
        left: threading.Event,
        deliver: Callable[[Prepared | Piece | HivemarkError | None], None],
    ) -> None:
        try:
            for item in self._generate(request, left.is_set):
                deliver(item)
        except HivemarkError as error:
            deliver(error)
        except MemoryError:
            deliver(
                InternalError("the request needs more memory than the worker may have", code="out_of_memory")
            )
        finally:
            deliver(None)

    def _generate(self, request: ChatRequest, cancelled: Callable[[], bool]) -> Iterator[Prepared | Piece]:
        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        prompt = self._model.chat_prompt(messages, strftime_now=datetime.now(UTC).strftime)
        require_context(self._model, prompt_tokens=len(prompt), max_tokens=1)
        room = self._model.context_tokens - len(prompt)
        sampling = Sampling(
            temperature=TEMPERATURE_DEFAULT if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            max_tokens=room if request.token_limit is None else request.token_limit,
            stop=request.stops,
        )
        seed = secrets.randbits(SEED_BITS) if request.seed is None else request.seed
        pieces = generate(
            self._model,
            prompt,
            sampling,
            seed=seed,
            top_logprobs=request.top_logprobs_wanted,
            cancelled=cancelled,
        )
        yield Prepared(len(prompt), seed)
        yield from pieces
