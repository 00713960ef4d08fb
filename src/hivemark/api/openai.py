"""OpenAI's endpoints as the coordinator serves them: what a call has to look like, and how it is refused.

Members that only an engine can judge are not looked at: they go to it as they were posted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hivemark.errors import HivemarkError, InvalidError, Kind, TooLargeError
from hivemark.protocol.answers import Endpoint
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.jobspec_members import Sampling
from hivemark.protocol.shape import to_shape
from hivemark.protocol.strictjson import JsonObject, JsonValue, parse_json_object

V1: Final = "/v1"
CHAT: Final = f"{V1}/chat/completions"
COMPLETIONS: Final = f"{V1}/completions"
EMBEDDINGS: Final = f"{V1}/embeddings"
MODELS: Final = f"{V1}/models"
MODEL: Final = f"{V1}/models/{{model:path}}"
CALL: Final = f"{V1}/chat/completions/{{execution}}"

EXECUTION: Final = "Hivemark-Execution"
"""Header of every answer: the execution whose receipt proves it."""
JOB: Final = "Hivemark-Job"

BODY_BYTES_MAX: Final = 900_000
"""A call travels to its hive in one frame of the link, which has at most 1 MiB."""
BODY_DEPTH_MAX: Final = 64
MAX_TOKENS_MAX: Final = 32_768
MAX_TOKENS_DEFAULT: Final = MAX_TOKENS_MAX
"""What is held for a call that names no limit, on a model that tells no context: no engine is to be cut off
by a number that nobody chose."""
SEED_MAX: Final = 2**53 - 1

_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INVALID: "invalid_request_error",
    Kind.UNVERIFIED: "invalid_request_error",
    Kind.UNAUTHENTICATED: "invalid_request_error",
    Kind.FORBIDDEN: "invalid_request_error",
    Kind.NOT_FOUND: "invalid_request_error",
    Kind.TOO_LARGE: "invalid_request_error",
    Kind.UNSATISFIABLE: "invalid_request_error",
    Kind.CONFLICT: "invalid_request_error",
    Kind.PAYMENT_REQUIRED: "insufficient_quota",
    Kind.OVER_LIMIT: "rate_limit_error",
}


def error_object(error: HivemarkError) -> dict[str, object]:
    """The body, or the event, that says `error` to an OpenAI client; all four members always."""
    message = error.message if error.hint is None else f"{error.message}; {error.hint}"
    return {
        "error": {
            "message": message,
            "type": _TYPES.get(error.kind, "server_error"),
            "param": error.field,
            "code": error.code,
        }
    }


@dataclass(frozen=True, slots=True)
class Call:
    """A call that can be served. `max_tokens` None: the client set no limit. `text_bytes` bounds the tokens
    of its prompt."""

    endpoint: Endpoint
    model: str
    body: JsonObject
    streams: bool
    sampling: Sampling
    max_tokens: int | None
    seed: int | None
    text_bytes: int
    keeps_text: bool


def parse_call(endpoint: Endpoint, raw: bytes) -> Call:
    """Raises `InvalidError` or `TooLargeError`, with the member that is at fault."""
    if len(raw) > BODY_BYTES_MAX:
        raise TooLargeError(f"the body has more than {BODY_BYTES_MAX} bytes", code="body_too_large")
    body = parse_json_object(raw, bytes_max=BODY_BYTES_MAX, depth_max=BODY_DEPTH_MAX)
    model = _text(body, "model")
    if endpoint == "embeddings":
        _require_input(body)
        return Call(endpoint, model, body, False, Sampling(max_tokens=1), 1, None, _bytes_of(body), False)
    _require_prompt(endpoint, body)
    if _number(body, "n", int, 1, 1) not in (None, 1):
        raise _invalid("n", "one choice is made at a time: n has to be 1")
    max_tokens = _max_tokens(endpoint, body)
    return Call(
        endpoint=endpoint,
        model=model,
        body=body,
        streams=_flag(body, "stream"),
        sampling=_sampling(body, max_tokens or 1),
        max_tokens=max_tokens,
        seed=_number(body, "seed", int, 0, SEED_MAX),
        text_bytes=_bytes_of(body),
        keeps_text=_flag(body, "store"),
    )


def _max_tokens(endpoint: Endpoint, body: JsonObject) -> int | None:
    least = 0 if endpoint == "completions" else 1  # lm-eval scores a prompt with echo and no new token
    named: int | None = _number(body, "max_tokens", int, least, MAX_TOKENS_MAX)
    if endpoint == "completions":
        return named
    newer: int | None = _number(body, "max_completion_tokens", int, least, MAX_TOKENS_MAX)
    if named is not None and newer is not None and named != newer:
        raise _invalid("max_tokens", "max_tokens and max_completion_tokens differ")
    return named if newer is None else newer


def _sampling(body: JsonObject, max_tokens: int) -> Sampling:
    """OpenAI's defaults are 1 for both; what is settled here stands in the receipt."""
    temperature, top_p = _number(body, "temperature", float, 0, 2), _number(body, "top_p", float, 0, 1)
    if top_p == 0:
        raise _invalid("top_p", "expected a number above 0, at most 1")
    stop = body.get("stop")
    stops: JsonValue = [] if stop is None else [stop] if isinstance(stop, str) else stop
    value: JsonObject = {
        "temperature": 1 if temperature is None else temperature,
        "top_p": 1 if top_p is None else top_p,
        "max_tokens": max(1, max_tokens),
        "stop": stops,
    }
    try:
        return to_shape(value, Sampling)
    except InvalidError as error:
        raise _invalid((error.field or "").partition("[")[0] or "stop", error.message) from error


def _require_prompt(endpoint: Endpoint, body: JsonObject) -> None:
    if endpoint == "completions":
        prompt = body.get("prompt")
        if not isinstance(prompt, str | list) or prompt == []:
            raise _invalid("prompt", "expected text, or a list of one text or of token ids")
        return
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "expected a list of at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _invalid(f"messages[{index}]", "expected an object with a role")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise _invalid(f"messages[{index}].content", "expected text or a list of parts")


def _require_input(body: JsonObject) -> None:
    given = body.get("input")
    if not isinstance(given, str | list) or not given:
        raise _invalid("input", "expected text, a list of texts or of token ids; not empty")
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise _invalid("encoding_format", "expected float or base64")


_PROMPT_MEMBERS: Final = ("messages", "tools", "functions", "response_format", "prompt", "suffix", "input")


def _bytes_of(body: JsonObject) -> int:
    """No vocabulary has more tokens than bytes; what engines put around messages is counted elsewhere."""
    said: dict[str, JsonValue] = {name: body[name] for name in _PROMPT_MEMBERS if name in body}
    return len(encode_canonical(said))


def _text(body: JsonObject, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _invalid(name, "expected text, which is missing" if value is None else "expected text")
    return value


def _flag(body: JsonObject, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _invalid(name, "expected true or false")
    return bool(value)


def _number(body: JsonObject, name: str, kind: type[Any], least: float, most: float) -> Any:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and value % 1):
        raise _invalid(name, f"expected {'an integer' if kind is int else 'a number'}")
    if not least <= value <= most:
        raise _invalid(name, f"expected {least:g} to {most:g}" if least != most else f"expected {least:g}")
    return value


def _invalid(field: str, message: str) -> InvalidError:
    return InvalidError(f"{field}: {message}", code="invalid_value", field=field)
