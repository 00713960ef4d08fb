"""The closed set of failure kinds; every error a user can meet is one of these.

A `Kind` says what went wrong in general (`api/status.py` maps it to HTTP), the `code` what went wrong
exactly (stable, snake_case, for programs), the message says it to a person, `hint` what to do next and
`field` which part of the input is meant (dotted path, `questions[3].id`).
"""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What went wrong, in general. Closed: a new member needs a row in `api/status.py`."""

    INVALID = "invalid"
    UNVERIFIED = "unverified"
    UNAUTHENTICATED = "unauthenticated"
    PAYMENT_REQUIRED = "payment_required"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSATISFIABLE = "unsatisfiable"
    OVER_LIMIT = "over_limit"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    BAD_UPSTREAM = "bad_upstream"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"


class HivemarkError(Exception):
    """Something failed in a way that has a name."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str = "", *, code: str = "", field: str | None = None, hint: str | None = None
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.code = code or str(self.kind)
        self.field = field
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidError(HivemarkError):
    """The input is not of the form that was asked for."""

    kind = Kind.INVALID


class UnverifiedError(HivemarkError):
    """A signature, digest or proof does not hold."""

    kind = Kind.UNVERIFIED


class UnauthenticatedError(HivemarkError):
    """Who is asking is not known."""

    kind = Kind.UNAUTHENTICATED


class PaymentRequiredError(HivemarkError):
    """The account's balance does not cover this."""

    kind = Kind.PAYMENT_REQUIRED


class ForbiddenError(HivemarkError):
    """Who is asking is known and may not do this."""

    kind = Kind.FORBIDDEN


class NotFoundError(HivemarkError):
    """There is no such thing here."""

    kind = Kind.NOT_FOUND


class ConflictError(HivemarkError):
    """This contradicts what is already there."""

    kind = Kind.CONFLICT


class TooLargeError(HivemarkError):
    """The input is larger than the limit."""

    kind = Kind.TOO_LARGE


class UnsatisfiableError(HivemarkError):
    """The request is well formed but cannot be carried out as it stands."""

    kind = Kind.UNSATISFIABLE


class OverLimitError(HivemarkError):
    """Too much was asked for in the time allowed."""

    kind = Kind.OVER_LIMIT
    retryable = True


class CancelledError(HivemarkError):
    """The work was called off."""

    kind = Kind.CANCELLED


class InternalError(HivemarkError):
    """A promise of our own code was broken."""

    kind = Kind.INTERNAL


class BadUpstreamError(HivemarkError):
    """A program that this one depends on answered with something unusable."""

    kind = Kind.BAD_UPSTREAM
    retryable = True


class UnavailableError(HivemarkError):
    """A program that this one depends on did not answer."""

    kind = Kind.UNAVAILABLE
    retryable = True


class DeadlineError(HivemarkError):
    """The time allowed for this is over."""

    kind = Kind.DEADLINE
    retryable = True
