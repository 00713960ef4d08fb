"""What a server's refusal means: RFC 9457 problems back to the closed set of errors."""

from typing import Any, Final

import msgspec

from hivemark.api.status import ERROR_OF_KIND, KIND_OF_STATUS
from hivemark.errors import BadUpstreamError, HivemarkError, Kind

_EXCERPT_CHARS: Final = 200


def error_of(status: int, body: bytes) -> HivemarkError:
    """The error that the server raised, with its own code, field and hint when it told them.

    A status outside the contract, or a body that is no problem document, gives `BadUpstreamError`: whoever
    answered was not a coordinator of this version.
    """
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
