"""What a server's refusal means: problems (RFC 9457), and OpenAI's error object, back to the closed set of
errors.
"""

from typing import Any, Final

import msgspec

from hivemark.api.status import ERROR_OF_KIND, KIND_OF_STATUS
from hivemark.errors import BadUpstreamError, HivemarkError, Kind

_EXCERPT_CHARS: Final = 200
# OpenAI's types and codes where they say more than the status, which 429 for an empty purse does not.
_KIND_OF_TYPE: Final = {
    "insufficient_quota": Kind.PAYMENT_REQUIRED,
    "rate_limit_error": Kind.OVER_LIMIT,
    "rate_limit_exceeded": Kind.OVER_LIMIT,
    "authentication_error": Kind.UNAUTHENTICATED,
    "permission_error": Kind.FORBIDDEN,
    "not_found_error": Kind.NOT_FOUND,
    "invalid_request_error": Kind.INVALID,
}


def error_of(status: int, body: bytes, *, retry_after: str | None = None) -> HivemarkError:
    """The error that the server raised, with its own code, field and hint when it told them.

    A status outside the contract, or a body in neither form, gives `BadUpstreamError`: whoever answered was
    not a coordinator of this version. `retry_after` is the header as it came; a refusal for too much asked
    in too short a time says it in its hint.
    """
    if (told := openai_error(body)) is not None:
        return error_of_openai(told, status=status, retry_after=retry_after)
    problem = _problem(body)
    kind = _kind(status, problem)
    if problem is None or kind is None:
        excerpt = body[:_EXCERPT_CHARS].decode("utf-8", "replace").strip()
        return BadUpstreamError(
            f"HTTP {status} without a problem document: {excerpt!r}", code="not_a_problem"
        )
    return ERROR_OF_KIND[kind](
        str(problem.get("detail") or problem.get("title") or ""),
        code=str(problem.get("code") or kind),
        field=_text(problem.get("field")),
        hint=_text(problem.get("hint")),
    )


def openai_error(body: bytes | str) -> dict[str, Any] | None:
    """The object under `error` of an answer or event in OpenAI's form; None when it has none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    told = value.get("error") if isinstance(value, dict) else None
    if isinstance(told, str):  # as some engines say it
        return {"message": told}
    return told if isinstance(told, dict) else None


def error_of_openai(
    told: dict[str, Any], *, status: int | None = None, retry_after: str | None = None
) -> HivemarkError:
    """OpenAI's error object as an error; without a status (in a stream) its type and code tell the kind."""
    code, kind_name = _text(told.get("code")), _text(told.get("type"))
    kind = _KIND_OF_TYPE.get(code or "") or KIND_OF_STATUS.get(status or 0)
    kind = kind or _KIND_OF_TYPE.get(kind_name or "") or Kind.UNAVAILABLE
    return ERROR_OF_KIND[kind](
        _text(told.get("message")) or "refused without a reason",
        code=code or kind_name or str(kind),
        field=_text(told.get("param")),
        hint=_wait_hint(kind, retry_after),
    )


def _wait_hint(kind: Kind, retry_after: str | None) -> str | None:
    if kind is not Kind.OVER_LIMIT or retry_after is None or not retry_after.strip().isdigit():
        return None
    return f"wait {int(retry_after)} s, then ask again"


def _problem(body: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) and "code" in value else None


def _kind(status: int, problem: dict[str, Any] | None) -> Kind | None:
    """The status tells the kind; two kinds share 400, so a problem may name its own."""
    if problem is not None and problem.get("kind") in set(Kind):
        return Kind(problem["kind"])
    return KIND_OF_STATUS.get(status)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
