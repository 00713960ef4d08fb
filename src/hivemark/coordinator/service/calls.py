"""Calls of the OpenAI endpoints: each becomes a job of one execution, signed by the service key on behalf of
the account that pays for it (docs/spec/http.md 9)."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from hivemark.api.openai import MAX_TOKENS_DEFAULT, MAX_TOKENS_MAX, Call
from hivemark.coordinator.metrics import Metrics
from hivemark.coordinator.ports import (
    ApiKey,
    ApiKeyStore,
    HiveRow,
    HiveStore,
    JobStore,
    KeyStore,
)
from hivemark.coordinator.service import hints
from hivemark.coordinator.service.held import CallEnd, HeldCall, HeldCalls, Over, failure_of
from hivemark.coordinator.service.hints import Hints
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.coordinator.service.models import catalogue, resolve_models
from hivemark.coordinator.service.submit import CallSpec, Submission
from hivemark.credits.price import Price, hold_micro
from hivemark.errors import (
    BadUpstreamError,
    CancelledError,
    ConflictError,
    DeadlineError,
    ForbiddenError,
    HivemarkError,
    InvalidError,
    NotFoundError,
    PaymentRequiredError,
    UnavailableError,
    UnsatisfiableError,
)
from hivemark.jobs.cells import ResolvedModel
from hivemark.jobs.lifecycle import FINAL_EXECUTION_STATES, ExecutionState
from hivemark.jobs.request import OpenCall, forwarded
from hivemark.protocol.commitment import SALT_BYTES
from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec
from hivemark.protocol.jobspec_members import OPENAI, ModelRef
from hivemark.protocol.shape import from_shape
from hivemark.protocol.strictjson import JsonObject

_SEED_BYTES: Final = 6
_ID_BYTES: Final = 15


class CallStores(JobStore, HiveStore, KeyStore, ApiKeyStore, Protocol):
    """The ports of calls."""


@dataclass(frozen=True, slots=True)
class Caller:
    """In whose name a call is made; `api_key` None: the account signed the request itself."""

    account: str
    api_key: ApiKey | None = None


@dataclass(frozen=True, slots=True)
class CallRules:
    """How long a call may wait for a place, and how long it may take in all; seconds."""

    queue_timeout_s: float
    total_timeout_s: float


class Calls:
    """Begins calls, and ends those that nobody waits for any more."""

    def __init__(
        self,
        *,
        store: CallStores,
        held: HeldCalls,
        submission: Submission,
        identity: Identity,
        rules: CallRules,
        price: Price,
        random: Random,
        hints: Hints,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self.held = held
        self.rules = rules
        self._submission = submission
        self._identity = identity
        self._price = price
        self._random = random
        self._hints = hints
        self._metrics = metrics

    def models(self, caller: Caller) -> tuple[str, ...]:
        """The names that a call may give, of models that a linked hive offers."""
        offered = {row.model.name for row in catalogue(self._store.hives()) if row.hives}
        return tuple(sorted(name for name in offered if _may_use(caller, name)))

    def begin(self, caller: Caller, call: Call, *, now_ms: int) -> HeldCall:
        """T1 for a call. Raises `NotFoundError` `model_not_found`, `ForbiddenError` `model_not_allowed`,
        `PaymentRequiredError` when not even one token can be paid for."""
        if not _may_use(caller, call.model):
            raise ForbiddenError(
                f"this API key may not use {call.model}", code="model_not_allowed", field="model"
            )
        hives = self._store.hives()
        model = _resolve(call.model, hives)
        request = OpenCall(call.endpoint, forwarded(call.body), self._random(SALT_BYTES))
        max_tokens = call.max_tokens or _room(model, hives)
        spec = self._spec(caller, call, request, model, max_tokens, now_ms)
        prompt_micro = hold_micro([call.text_bytes], 0, self._price)
        full_micro = hold_micro([call.text_bytes], max_tokens, self._price)
        try:
            return self._submit(spec, caller, call, request, full_micro, None, now_ms)
        except PaymentRequiredError:
            per_token = self._price.micro_per_completion_token
            most_micro = self._affordable_micro(caller)
            tokens = (most_micro - prompt_micro) // per_token
            if not 1 <= tokens < max_tokens:
                raise
        return self._submit(spec, caller, call, request, prompt_micro + tokens * per_token, tokens, now_ms)

    def _submit(
        self,
        spec: CallSpec,
        caller: Caller,
        call: Call,
        request: OpenCall,
        hold: int,
        afforded_tokens: int | None,
        now_ms: int,
    ) -> HeldCall:
        held: list[HeldCall] = []

        def hold_client(job: str, execution: str) -> None:
            """Before the commit: a hive may lease it at once after."""
            one = HeldCall(
                job=job,
                execution=execution,
                account=caller.account,
                api_key=caller.api_key.id if caller.api_key else None,
                request=request,
                streams=call.streams,
                keeps_text=call.keeps_text,
                afforded_tokens=afforded_tokens,
            )
            held.append(one)
            self.held.add(one)

        try:
            self._submission.submit_call(
                spec,
                account=caller.account,
                api_key=caller.api_key.id if caller.api_key else None,
                held_by=self.held.run,
                hold_micro=hold,
                hold_client=hold_client,
                now_ms=now_ms,
            )
        except BaseException:
            for one in held:
                self.held.forget(one)
            raise
        return held[0]

    def _affordable_micro(self, caller: Caller) -> int:
        """What budget and balance leave; T1 looks again."""
        available, _, _ = self._store.balance(caller.account)
        key = caller.api_key
        if key is None or key.budget_micro is None:
            return available
        now = self._store.api_key(key.id) or key
        return min(available, key.budget_micro - now.spent_micro)

    def _spec(
        self,
        caller: Caller,
        call: Call,
        request: OpenCall,
        model: ResolvedModel,
        max_tokens: int,
        now_ms: int,
    ) -> CallSpec:
        sampling = msgspec.structs.replace(call.sampling, max_tokens=max(1, max_tokens))
        seed = int.from_bytes(self._random(_SEED_BYTES), "big") if call.seed is None else call.seed
        named = base64.b32encode(self._random(_ID_BYTES)).decode("ascii").lower()
        pinned: JsonObject = {"name": model.name}
        if model.weights_sha256 is not None:
            pinned["digest"] = model.weights_sha256
        value: JsonObject = {
            "id": f"call-{named}",
            "benchmark": OPENAI,
            "request": {"endpoint": request.endpoint, "commitment": request.commitment},
            "models": [pinned],
            "constraints": {
                "timeout_s": self.rules.total_timeout_s,
                "provider_timeout_s": self.rules.total_timeout_s,
            },
            "execution": {"seed": seed, "sampling": from_shape(sampling), "visibility": "private"},
            "metadata": {"on_behalf_of": caller.account},
        }
        raw = sign_jobspec(value, self._identity.service_key, now_ms=now_ms, random=self._random)
        return CallSpec(parse_jobspec(raw), model)

    # ── the end of a call ────────────────────────────────────────────────────────────────────────

    def leave(self, call: HeldCall, over: Over, *, now_ms: int) -> None:
        """Nobody waits for this call any more. What is queued ends now; what runs ends with its receipt, or
        with its lease."""
        call.over = call.over or over
        row = self._store.execution(call.execution)
        if row is None or row.state in FINAL_EXECUTION_STATES:
            self.held.forget(call)
            return
        if row.state is ExecutionState.QUEUED:
            self._store.cancel(call.job, now_ms=now_ms)
            self._hints.notify(hints.of_job(call.job))
            self.held.forget(call)

    def cancel(self, execution: str, *, account: str | None, now_ms: int) -> HeldCall:
        """Stop a call that runs; its stream ends with an error event, and what was given is paid."""
        call = self.held.of(execution)
        if call is None or account not in (None, call.account):
            raise NotFoundError("there is no such call here", code="unknown_execution", field="execution")
        if call.end is not None:
            raise ConflictError("this call has ended already", code="execution_final")
        self.leave(call, "cancelled", now_ms=now_ms)
        self._hints.notify(hints.of_call(execution))
        return call

    def look(self, call: HeldCall) -> CallEnd | None:
        """How the call ended, if something other than its receipt ended it: its deadline, a cancelled job,
        attempts that were used up."""
        if call.end is None:
            row = self._store.execution(call.execution)
            if row is not None and row.state in FINAL_EXECUTION_STATES:
                call.end = end_of(row.state, row.failure)
        return call.end

    def end_orphans(self, now_ms: int, *, limit: int = 200) -> int:
        """Calls that an earlier run held: their clients are gone. Queued ones end now, the others with their
        receipts or leases. Answers how many were ended."""
        ended = 0
        for row in self._store.orphaned_calls(held_by=self.held.run, limit=limit):
            if row.state is ExecutionState.QUEUED:
                self._store.cancel(row.job, now_ms=now_ms)
                self._hints.notify(hints.of_job(row.job))
                ended += 1
        return ended


def end_of(state: ExecutionState, failure: str | None) -> CallEnd:
    """What a final execution, and the failure stored with it, means to the client that waited for it."""
    code, message = failure_of(failure)
    match state:
        case ExecutionState.COMPLETED:
            return CallEnd(str(state))
        case ExecutionState.CANCELLED:
            return CallEnd(str(state), CancelledError("the call was cancelled", code="cancelled"))
        case _ if code == "deadline_passed":
            return CallEnd(str(state), DeadlineError(message, code=code))
        case _:
            return CallEnd(str(state), failed(code, message))


def failed(code: str, message: str) -> HivemarkError:
    """An attempt's failure as the client is told of it."""
    if code in ("first_token_timeout", "stalled", "run_timeout", "load_timeout"):
        return DeadlineError(message, code=code)
    if code in ("engine_busy", "lease_expired", "hive_lost_it", "stream_lost", "link_lost"):
        return UnavailableError(message, code=code)
    return BadUpstreamError(message, code=code)


def _resolve(name: str, hives: Sequence[HiveRow]) -> ResolvedModel:
    """`unknown_model` is OpenAI's `model_not_found` here."""
    try:
        (model,) = resolve_models([ModelRef(name=name)], hives)
    except InvalidError as error:
        raise NotFoundError(
            f"the model {name!r} does not exist here", code="model_not_found", field="model", hint=error.hint
        ) from error
    except UnsatisfiableError as error:
        raise UnsatisfiableError(
            error.message, code=error.code, field="model", hint="ask the operator for one name per file"
        ) from error
    return model


def _room(model: ResolvedModel, hives: Sequence[HiveRow]) -> int:
    """The most tokens that a call without a limit may make: what the context holds, as far as it is told."""
    told = [
        offered.context_tokens
        for hive in hives
        for offered in hive.models
        if offered.name == model.name and offered.weights_sha256 == model.weights_sha256
    ]
    return min(max((each for each in told if each), default=MAX_TOKENS_DEFAULT), MAX_TOKENS_MAX)


def _may_use(caller: Caller, model: str) -> bool:
    key = caller.api_key
    return key is None or key.models is None or model in key.models
