"""One attempt from its lease to what there is to say about it; knows nothing of receipts or links."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from hivemark.hive.clock import Clock
from hivemark.hive.engines.base import Engine, EngineFacts, Session
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.recording import EMBEDDINGS_BYTES_MAX, Recording
from hivemark.hive.request import EffectiveRequest
from hivemark.hive.watch import Watch


@dataclass(slots=True)
class Attempted:
    """What happened, completed or not. Times are Unix milliseconds, the duration monotonic microseconds."""

    facts: EngineFacts
    recording: Recording
    started_ms: int
    first_token_ms: int | None = None
    finished_ms: int = 0
    duration_us: int = 0
    failure: EngineFailure | None = None


async def run_attempt(
    request: EffectiveRequest,
    engine: Engine,
    *,
    watch: Watch,
    clock: Clock,
    output_salt: bytes,
    on_started: Callable[[], None],
    deliver: Callable[[bytes], Awaitable[None]] | None = None,
) -> Attempted:
    """Run to an end, whatever it is: an `EngineFailure` becomes part of the answer, no other is caught.

    `deliver` gets what the client of a call is to read; the engine is not held to time while it waits.
    """
    is_embedding = request.call is not None and request.call.endpoint == "embeddings"
    recording = Recording(
        output_salt=output_salt,
        max_tokens=request.sampling.max_tokens,
        bytes_max=EMBEDDINGS_BYTES_MAX if is_embedding else None,
    )
    attempted = Attempted(engine.facts, recording, started_ms=clock.now_ms())
    begun_us = clock.mono_us()
    try:
        async with AsyncExitStack() as stack:
            async with watch.guard():
                session = await stack.enter_async_context(engine.session())
            attempted.facts = session.facts
            on_started()
            async with watch.guard():
                await _consume(session, request, attempted, watch=watch, clock=clock, deliver=deliver)
    except EngineFailure as failure:
        attempted.failure = failure
    attempted.finished_ms = clock.now_ms()
    attempted.duration_us = clock.mono_us() - begun_us
    return attempted


async def _consume(
    session: Session,
    request: EffectiveRequest,
    attempted: Attempted,
    *,
    watch: Watch,
    clock: Clock,
    deliver: Callable[[bytes], Awaitable[None]] | None,
) -> None:
    watch.asked()
    if request.call is not None and not request.call.streams:
        watch.whole()
    async with aclosing(session.answer(request)) as chunks:
        async for chunk in chunks:
            if chunk.text or chunk.token_ids or chunk.tool_calls or chunk.raw:
                watch.progressed()
                attempted.first_token_ms = attempted.first_token_ms or clock.now_ms()
            attempted.recording.add(chunk)
            if deliver is not None and chunk.raw:
                with watch.paused():
                    await deliver(chunk.raw)
    if attempted.recording.finish_reason is None:
        raise EngineFailure(Stage.STREAM, "engine_garbage", "the answer ended without a reason")
