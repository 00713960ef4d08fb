"""A simulated user: posts one signed job until it is acknowledged, and may call it off."""

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from hivemark.errors import HivemarkError
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.strictjson import JsonObject, JsonValue
from hivemark.testing.simulator.engine import MODEL
from hivemark.testing.simulator.network import Network
from hivemark.testing.simulator.world import World

RETRY_MS: Final = (200, 3_000)
NOT_YET: Final = frozenset({"unknown_model"})
"""Refusals that end by themselves: no hive has offered the model so far."""


class Coordinator(Protocol):
    """What a user sees of the coordinator; None is no answer."""

    def submit(self, raw: bytes, idempotency_key: str) -> str | HivemarkError | None: ...
    def cancel(self, job: str, account_key: PrivateKey) -> HivemarkError | str | None: ...


class SimulatedClient:
    """One user with one job. The same bytes under the same key are posted again until there is an answer."""

    def __init__(
        self, world: World, network: Network, coordinator: Coordinator, *, name: str, key: PrivateKey
    ) -> None:
        self.name = name
        self.job: str | None = None
        self.refused: str | None = None
        self._world = world
        self._network = network
        self._coordinator = coordinator
        self._random = world.random(f"client/{name}")
        self._key = key
        self._raw = b""

    @property
    def is_answered(self) -> bool:
        return self.job is not None or self.refused is not None

    def begin(self, spec: JsonObject | None = None) -> None:
        """Sign the job, by default one of any shape, and post it."""
        value = make_spec(self._random, self.name) if spec is None else spec
        now_ms = self._world.clock.now_ms()
        self._raw = sign_jobspec(value, self._key, now_ms=now_ms, random=self._random.randbytes)
        self._post()

    def call_off(self) -> None:
        """Cancel the job as soon as it is known."""
        if self.job is None:
            if self.refused is None:
                self._world.after(self._retry_ms(), self.call_off)
            return
        job = self.job

        def ask() -> Callable[[], None] | None:
            answer = self._coordinator.cancel(job, self._key)
            if answer is None:
                return None
            if isinstance(answer, HivemarkError) and answer.retryable:
                return lambda: self._world.after(self._retry_ms(), self.call_off)
            said = answer.code if isinstance(answer, HivemarkError) else answer
            return lambda: self._world.note(self.name, f"cancels {job}: {said}")

        again = lambda: self._world.after(self._retry_ms(), self.call_off)  # noqa: E731
        self._network.request(self.name, ask, again)

    def _post(self) -> None:
        self._network.request(
            self.name, self._ask, lambda: self._world.after(self._retry_ms(), self._post_again)
        )

    def _post_again(self) -> None:
        if not self.is_answered:
            self._post()

    def _ask(self) -> Callable[[], None] | None:
        answer = self._coordinator.submit(self._raw, f"once-{self.name}")
        return None if answer is None else lambda: self._answered(answer)

    def _answered(self, answer: str | HivemarkError) -> None:
        if isinstance(answer, str):
            assert self.job in (None, answer), "one key and one body are one job"
            self._world.note(self.name, f"is told of {answer}")
            self.job = answer
        elif answer.retryable or answer.code in NOT_YET:
            self._world.after(self._retry_ms(), self._post_again)
        else:
            self._world.note(self.name, f"is refused: {answer.code}: {answer}")
            self.refused = answer.code

    def _retry_ms(self) -> int:
        return self._random.randint(*RETRY_MS)


def make_spec(random: Random, name: str) -> JsonObject:
    """A small job of any shape: without a model or with one, in some regions, public or private."""
    regions = random.sample(["US", "EU", "ASIA"], random.randint(0, 3))
    noop = random.random() < 0.4
    questions: list[JsonValue] = [
        {"id": f"q{n}", "text": f"What is {n} + 1?"} for n in range(random.randint(1, 2))
    ]
    return {
        "id": f"job-{name}",
        "benchmark": "noop" if noop else "simulated",
        "questions": [] if noop else questions,
        "models": [] if noop else [MODEL],
        "runs": random.randint(1, 2),
        "constraints": {
            "regions": [*regions],
            "min_success_rate": random.choice([0.0, 0.5, 0.67, 1.0]),
            "timeout_s": random.choice([20, 90, 600, 600]),
            "provider_timeout_s": 40,
        },
        "execution": {
            "seed": random.randrange(2**32),
            "sampling": {"max_tokens": 16},
            "visibility": random.choice(["public", "private"]),
        },
    }
