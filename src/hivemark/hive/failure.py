"""How an attempt fails: one typed value from the engine's edge to the receipt."""

from enum import StrEnum
from typing import Final

from hivemark.errors import BadUpstreamError
from hivemark.protocol.receipt import Failure

CODE_CHARS_MAX: Final = 64
MESSAGE_CHARS_MAX: Final = 500


class Stage(StrEnum):
    """How far the attempt had come."""

    LOAD = "load"
    REQUEST = "request"
    FIRST_TOKEN = "first_token"
    STREAM = "stream"
    ENGINE = "engine"


class EngineFailure(BadUpstreamError):
    """The engine did not answer as it should.

    `transient`: another try may go better. `at_fault`: the engine itself broke its promise and has to be
    started anew; a request that it refused properly leaves it in good standing. `refusal` is the status and
    the error object with which it refused, for the client of a call.
    """

    def __init__(
        self,
        stage: Stage,
        code: str,
        message: str,
        *,
        transient: bool = True,
        at_fault: bool = True,
        refusal: tuple[int, bytes] | None = None,
    ) -> None:
        super().__init__(message[:MESSAGE_CHARS_MAX], code=code[:CODE_CHARS_MAX] or "unnamed")
        self.stage = stage
        self.transient = transient
        self.at_fault = at_fault
        self.refusal = refusal

    def as_failure(self) -> Failure:
        """As the receipt says it."""
        return Failure(stage=str(self.stage), code=self.code, message=self.message, transient=self.transient)
