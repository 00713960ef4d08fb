"""The one table between failure kinds and HTTP; the server reads it one way, the client the other."""

from typing import Final

from hivemark import errors
from hivemark.errors import HivemarkError, Kind

STATUS: Final[dict[Kind, int]] = {
    Kind.INVALID: 400,
    Kind.UNVERIFIED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.PAYMENT_REQUIRED: 402,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSATISFIABLE: 422,
    Kind.OVER_LIMIT: 429,
    Kind.CANCELLED: 499,
    Kind.INTERNAL: 500,
    Kind.BAD_UPSTREAM: 502,
    Kind.UNAVAILABLE: 503,
    Kind.DEADLINE: 504,
}

ERROR_OF_KIND: Final[dict[Kind, type[HivemarkError]]] = {
    error.kind: error
    for error in (
        errors.InvalidError,
        errors.UnverifiedError,
        errors.UnauthenticatedError,
        errors.PaymentRequiredError,
        errors.ForbiddenError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.TooLargeError,
        errors.UnsatisfiableError,
        errors.OverLimitError,
        errors.CancelledError,
        errors.InternalError,
        errors.BadUpstreamError,
        errors.UnavailableError,
        errors.DeadlineError,
    )
}

KIND_OF_STATUS: Final[dict[int, Kind]] = {
    status: kind for kind, status in STATUS.items() if kind is not Kind.UNVERIFIED
}
