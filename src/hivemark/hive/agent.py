"""The agent: carries out what `HiveCore` decides, and tells it what happened. One event loop, one owner."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import aiohttp
import msgspec

from hivemark.api.link import Offer, ResultAnswer, ResultFrame
from hivemark.api.stream import FrameKind, encode_refusal
from hivemark.errors import HivemarkError, InvalidError, UnavailableError
from hivemark.hive.clock import Clock
from hivemark.hive.config import HiveConfig
from hivemark.hive.core import HiveCore, HiveIdentity, WaitingResult
from hivemark.hive.effects import (
    CloseLink,
    CutAttempt,
    Effect,
    ForgetResult,
    GiveUp,
    PostResult,
    Reconnect,
    SendFrame,
    ShelveResult,
    StartAttempt,
    StopAttempt,
)
from hivemark.hive.engines.base import Engine, EngineFacts
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.hive.link import LinkSocket
from hivemark.hive.outbox import StoredResult
from hivemark.hive.outbox_writer import OutboxWriter
from hivemark.hive.pulled import LOOK_EVERY_S, PulledModels
from hivemark.hive.receipts import ReceiptContext, Salts, build_result
from hivemark.hive.recording import Recording
from hivemark.hive.relay import LOST_STREAM_CODES, Relay
from hivemark.hive.request import EffectiveRequest, parse_request
from hivemark.hive.results import PutOff, Refused, ResultPoster, Stale
from hivemark.hive.runner import Attempted, run_attempt
from hivemark.hive.stable import EngineStable
from hivemark.hive.watch import Watch

TICK_S: Final = 0.2
REFRESH_S: Final = 5.0
STOP_S: Final = 3.0
KEEP_WITHIN_S: Final = 60.0
KEEP_PAUSE_S: Final = 0.5

_log: Final = logging.getLogger(__name__)


class GaveUp(UnavailableError):
    """The coordinator will never have this hive again."""

    retryable = False


class Agent:
    """Runs until `stop` is asked for or the coordinator refuses the hive for good."""

    def __init__(
        self,
        config: HiveConfig,
        identity: HiveIdentity,
        stable: EngineStable,
        outbox: OutboxWriter,
        *,
        http: aiohttp.ClientSession,
        clock: Clock,
        waiting: tuple[WaitingResult, ...],
        pulled: PulledModels | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.stable = stable
        self.core = HiveCore(identity, stable.offer(), random=random, waiting=waiting)
        self._context = ReceiptContext(
            key=identity.key,
            network=identity.network,
            region=config.hive.region,
            simulated=config.hive.simulated,
        )
        self._outbox = outbox
        self._http = http
        self._pulled = pulled
        self._clock = clock
        self._random = random
        base_url = config.coordinator.url.rstrip("/")
        self._socket = LinkSocket(http, base_url=base_url)
        self._poster = ResultPoster(http, base_url=base_url, hive=identity.id)
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._watches: dict[str, Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reconnect_s = 0.0
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Until `stop`; raises `GaveUp`, or whatever broke a promise of our own code."""
        await self.stable.refresh()
        self._apply(self.core.offer_changed(self.stable.offer()))
        self._spawn(self._keep_linked(), "link")
        self._spawn(self._keep_ticking(), "tick")
        self._spawn(self._keep_refreshing(), "refresh")
        if self._pulled is not None:
            self._spawn(self._keep_catalog(self._pulled), "catalog")
        await self._stop.wait()
        await self._wind_up()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for the end; `run` returns when everything has ended."""
        self._stop.set()

    # ── loops ────────────────────────────────────────────────────────────────────────────────────

    async def _keep_linked(self) -> None:
        while not self._stop.is_set():
            await self._socket.run(opened=self._opened, received=self._received)
            self._apply(self.core.closed())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._reconnect_s)

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if not self._outbox.is_writable:
                await self._outbox.probe()
            self._apply(self.core.offer_changed(self._offer()))
            self._apply(self.core.tick(mono_ms=self._mono_ms()))

    async def _keep_refreshing(self) -> None:
        while self.stable.servers:
            await asyncio.sleep(REFRESH_S)
            await self.stable.refresh()

    async def _keep_catalog(self, pulled: PulledModels) -> None:
        """Offer what was pulled and no longer what was removed; the next tick tells the coordinator."""
        while True:
            catalog = await asyncio.to_thread(pulled.look)
            if catalog is not None:
                self.stable.replace_catalog(catalog)
                _log.info("catalog", extra={"models": [model.name for model in catalog]})
            await self.stable.tidy()
            await asyncio.to_thread(pulled.hold, self.stable.files_in_use)
            await asyncio.sleep(LOOK_EVERY_S)

    def _offer(self) -> Offer:
        """No slot while results cannot be kept: the work would be done in vain, here and again."""
        offer = self.stable.offer()
        return offer if self._outbox.is_writable else msgspec.structs.replace(offer, slots=0)

    def _opened(self) -> None:
        self._apply(self.core.opened(mono_ms=self._mono_ms()))

    def _received(self, text: bytes) -> None:
        was_linked = self.core.linked
        self._apply(self.core.frame_received(text, mono_ms=self._mono_ms()))
        if self.core.linked and not was_linked:
            _log.info("linked", extra={"epoch": self.core.epoch})

    # ── effects ──────────────────────────────────────────────────────────────────────────────────

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendFrame(text):
                self._socket.send(text)
            case StartAttempt(lease):
                ended = partial(self._attempt_ended, lease.attempt)
                self._attempts[lease.attempt] = self._spawn(
                    self._attempt(effect), f"attempt-{lease.attempt}", ended
                )
            case StopAttempt(attempt):
                _log.info("attempt_stopped", extra={"attempt": attempt})
                if attempt in self._attempts:
                    self._attempts[attempt].cancel()
            case CutAttempt(attempt, code):
                self._cut(attempt, code)
            case PostResult():
                ended = partial(self._post_ended, effect.attempt)
                self._spawn(self._post(effect), f"post-{effect.attempt}", ended)
            case ForgetResult(attempt):
                self._outbox.forget(attempt)
            case ShelveResult(attempt, code):
                _log.error("result_refused", extra={"attempt": attempt, "code": code})
                self._spawn(self._outbox.shelve(attempt, code), f"shelve-{attempt}")
            case CloseLink(code, reason):
                _log.warning("link_closed", extra={"code": code, "reason": reason})
                self._socket.close()
            case Reconnect(after_s):
                self._reconnect_s = after_s
            case GiveUp(code, reason):
                _log.error("given_up", extra={"code": code, "reason": reason})
                self._fail(GaveUp(reason, code=code))

    async def _attempt(self, start: StartAttempt) -> None:
        """Run, sign, keep, report; cancelled means that nobody wants it any more."""
        lease = start.lease
        request = parse_request(lease.request)
        engine = self.stable.engine_for(request)
        if engine is None:
            message = "the model was withdrawn"
            self._apply(self.core.attempt_declined(lease.attempt, code="model_not_offered", message=message))
            return
        relay = self._relay(start)
        try:
            await self._run(start, request, engine, relay)
        finally:
            if relay is not None:
                await relay.close()

    def _relay(self, start: StartAttempt) -> Relay | None:
        """The stream to whoever holds the client; whatever ends it early ends the attempt."""
        if start.lease.stream_url is None:
            return None
        url = self._poster.url(start.lease.stream_url)
        relay = Relay(self._http, url, self._poster.credentials(start.session_token, start.epoch))
        relay.open(partial(self._cut, start.lease.attempt))
        return relay

    def _cut(self, attempt: str, code: str) -> None:
        """Sign for what there is: nobody waits for more."""
        if attempt in self._watches:
            is_lost = code in LOST_STREAM_CODES
            message = "the stream to the client was lost" if is_lost else f"nobody reads on: {code}"
            failure = EngineFailure(Stage.STREAM, code, message, transient=is_lost, at_fault=False)
            self._watches[attempt].end(failure)

    async def _run(
        self, start: StartAttempt, request: EffectiveRequest, engine: Engine, relay: Relay | None
    ) -> None:
        lease = start.lease
        salts = Salts.draw(self._random)
        watch = self._watches[lease.attempt] = Watch(
            self._clock,
            run_s=lease.run_timeout_s,
            first_token_s=lease.first_token_timeout_s,
            stall_s=lease.stall_timeout_s,
        )
        if relay is not None and not relay.is_open:
            self._cut(lease.attempt, "stream_lost")
        attempted = await run_attempt(
            request,
            engine,
            watch=watch,
            clock=self._clock,
            output_salt=salts.output,
            on_started=lambda: self._apply(self.core.attempt_started(lease.attempt)),
            deliver=None if relay is None else partial(relay.send, FrameKind.DATA),
        )
        # Before the result is known to the coordinator, so that a withdrawn model is not leased again.
        self._apply(self.core.offer_changed(self._offer()))
        failure = attempted.failure
        if failure is not None and failure.code == "model_withdrawn":
            self._apply(self.core.attempt_declined(lease.attempt, code=failure.code, message=failure.message))
            return
        frame = self._sign(start, request, attempted, salts, engine.facts)
        _log.info("attempt_finished", extra=_facts(frame.attempt, attempted.duration_us, failure))
        result = StoredResult(
            attempt=lease.attempt,
            lease_version=lease.lease_version,
            url=lease.result_url,
            body=msgspec.json.encode(frame) + b"\n",
            finished_ms=attempted.finished_ms,
        )
        self._apply(self.core.attempt_signed(lease.attempt))
        if relay is None:
            await self._keep(result)
        else:
            await self._hand_over(relay, result, refusal=failure.refusal if failure else None)

    async def _hand_over(self, relay: Relay, result: StoredResult, refusal: tuple[int, bytes] | None) -> None:
        """The result as the stream's last frame, and into the outbox meanwhile: whichever is needed."""
        keeping = asyncio.create_task(self._put(result), name=f"keep-{result.attempt}")
        if refusal is not None:
            await relay.send(FrameKind.REFUSAL, encode_refusal(*refusal))
        outcome = await relay.finish(result.body)
        if isinstance(outcome, ResultAnswer) and outcome.attempt == result.attempt:
            keeping.add_done_callback(partial(self._kept_in_vain, result.attempt))
            self._apply(self.core.attempt_delivered(result.attempt))
            return
        _log.info("result_not_streamed", extra={"attempt": result.attempt, "outcome": str(outcome)})
        await self._keep(result, keeping)

    def _kept_in_vain(self, attempt: str, keeping: "asyncio.Task[None]") -> None:
        if not keeping.cancelled() and keeping.exception() is None:
            self._outbox.forget(attempt)

    def _sign(
        self,
        start: StartAttempt,
        request: EffectiveRequest,
        attempted: Attempted,
        salts: Salts,
        known: EngineFacts,
    ) -> ResultFrame:
        """The signed result. What no receipt can say of an engine becomes a failure that one can."""
        sign = partial(build_result, self._context, start.lease, request)
        try:
            return sign(attempted, grant_sha256=start.grant_sha256, salts=salts)
        except InvalidError as error:
            attempted.failure = EngineFailure(
                Stage.ENGINE, "not_receiptable", f"no receipt can say this: {error}", transient=False
            )
            attempted.facts = known
            attempted.recording = Recording(output_salt=salts.output, max_tokens=0)
            return sign(attempted, grant_sha256=start.grant_sha256, salts=salts)

    async def _keep(self, result: StoredResult, keeping: "asyncio.Task[None] | None" = None) -> None:
        try:
            await (self._put(result) if keeping is None else keeping)
        except asyncio.CancelledError:
            self._outbox.forget(result.attempt)  # nobody wants it, and it may stand there already
            raise
        except HivemarkError as error:
            _log.error("result_not_kept", extra={"attempt": result.attempt, "reason": error.message})
            self._apply(self.core.attempt_declined(result.attempt, code=error.code, message=error.message))
            return
        self._apply(self.core.attempt_finished(result.attempt, mono_ms=self._mono_ms()))

    async def _put(self, result: StoredResult) -> None:
        """Into the outbox; while the disk has no room the finished work waits in its slot, for a while."""
        give_up_us = self._clock.mono_us() + int(KEEP_WITHIN_S * 1_000_000)
        while True:
            try:
                return await self._outbox.put(result)
            except UnavailableError as error:
                if self._clock.mono_us() >= give_up_us:
                    raise
                _log.warning("result_waits", extra={"attempt": result.attempt, "reason": error.message})
            await asyncio.sleep(KEEP_PAUSE_S)

    async def _post(self, order: PostResult) -> None:
        body = await self._outbox.body(order.attempt)
        if body is None:
            self._apply(
                self.core.result_refused(order.attempt, code="result_missing", mono_ms=self._mono_ms())
            )
            return
        outcome = await self._poster.post(order, body)
        mono_ms = self._mono_ms()
        match outcome:
            case ResultAnswer(attempt=order.attempt):
                level = logging.DEBUG if outcome.outcome == "accepted" else logging.INFO
                _log.log(level, "result_answered", extra=msgspec.structs.asdict(outcome))
                self._apply(self.core.result_answered(outcome, mono_ms=mono_ms))
            case ResultAnswer():
                self._apply(self.core.result_put_off(order.attempt, mono_ms=mono_ms))
            case Refused(code):
                self._apply(self.core.result_refused(order.attempt, code=code, mono_ms=mono_ms))
            case Stale():
                self._apply(self.core.result_stale(order.attempt, epoch=order.epoch))
            case PutOff(reason, retry_after_s):
                _log.info("result_put_off", extra={"attempt": order.attempt, "reason": reason})
                self._apply(
                    self.core.result_put_off(order.attempt, mono_ms=mono_ms, retry_after_s=retry_after_s)
                )

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    async def _wind_up(self) -> None:
        """Give back what runs, end the workers, leave; results stay in the outbox."""
        self._apply(self.core.stop())
        self._socket.close()
        await asyncio.sleep(0)
        ending = [task for task in self._tasks if not task.get_name().startswith("link")]
        for task in ending:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S / 2)
        for task in self._tasks:
            task.cancel()
        await self.stable.close()
        await self._outbox.close()

    def _spawn(
        self,
        work: Coroutine[Any, Any, None],
        name: str,
        ended: Callable[[BaseException | None], None] | None = None,
    ) -> asyncio.Task[None]:
        """Run `work`; `ended` gets the exception that nobody expected. Without it that ends the agent."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._task_ended, ended or self._loop_ended))
        return task

    def _task_ended(self, ended: Callable[[BaseException | None], None], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.critical("task_failed", extra={"task": task.get_name()}, exc_info=error)
        ended(error)

    def _loop_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error)

    def _attempt_ended(self, attempt: str, error: BaseException | None) -> None:
        """One attempt's fault ends that attempt, never the agent."""
        self._attempts.pop(attempt, None)
        self._watches.pop(attempt, None)
        if error is not None:
            message = f"the hive failed: {type(error).__name__}"
            self._apply(self.core.attempt_declined(attempt, code="task_failed", message=message))

    def _post_ended(self, attempt: str, error: BaseException | None) -> None:
        if error is not None:
            self._apply(self.core.result_put_off(attempt, mono_ms=self._mono_ms()))

    def _fail(self, failure: BaseException) -> None:
        """A broken promise of our own code ends the agent; whoever started it starts it again."""
        self._failure = self._failure or failure
        self._stop.set()

    def _mono_ms(self) -> int:
        return self._clock.mono_us() // 1_000


def _facts(attempt: str, duration_us: int, failure: HivemarkError | None) -> dict[str, object]:
    facts: dict[str, object] = {"attempt": attempt, "duration_ms": duration_us // 1_000}
    if failure is not None:
        facts |= {"failure": failure.code, "reason": failure.message}
    return facts
