"""Our failure kinds as OpenAI's error object."""

from typing import Final

from hivemark.errors import HivemarkError, Kind

_TYPES: Final = {
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.NOT_FOUND: "invalid_request_error",
    Kind.INVALID: "invalid_request_error",
    Kind.TOO_LARGE: "invalid_request_error",
    Kind.OVER_LIMIT: "rate_limit_error",
}


def error_object(error: HivemarkError) -> dict[str, object]:
    """The body, or the event, that says `error` to an OpenAI client."""
    return {
        "error": {
            "message": str(error),
            "type": _TYPES.get(error.kind, "server_error"),
            "param": error.field,
            "code": error.code,
        }
    }
