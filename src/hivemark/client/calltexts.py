"""The texts of a call that its reader holds himself: the service keeps only the salts (spec/verify 4)."""

import json
from dataclasses import dataclass, replace
from typing import Final

from hivemark.errors import HivemarkError, InvalidError
from hivemark.jobs.request import forwarded
from hivemark.protocol.acceptance import Acceptance
from hivemark.protocol.answers import ToolCalls, read_chunk, read_whole
from hivemark.protocol.bundle import Disclosed, DisclosedOutput, DisclosedRequest
from hivemark.protocol.strictjson import JsonObject, JsonValue, parse_json_object

BODY_DEPTH_MAX: Final = 64
_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Texts:
    """`body`: the request as it was posted. `output`: the text that came back (`output_of` reads answers)."""

    body: bytes | None = None
    output: str | None = None


def output_of(raw: bytes) -> str:
    """The output of an answer as it was saved: OpenAI's JSON, a captured event stream, or the plain text.

    An error event ends a stream: what came before it is the output. Raises `InvalidError` `answer_malformed`.
    """
    stripped = raw.lstrip()
    try:
        if stripped.startswith((_DATA, b":")):
            return _of_stream(raw)
        if stripped.startswith(b"{"):
            return _of_whole(stripped)
        return raw.decode("utf-8")
    except (HivemarkError, UnicodeDecodeError, ValueError) as error:
        raise InvalidError(
            f"this is no answer of an OpenAI endpoint: {error}", code="answer_malformed", field="answer"
        ) from error


def _of_whole(raw: bytes) -> str:
    is_embedding = isinstance(json.loads(raw).get("data"), list)
    piece = read_whole("embeddings" if is_embedding else "chat.completions", raw)
    calls = ToolCalls()
    calls.add(piece.tool_calls)
    return piece.text + calls.encode()


def _of_stream(raw: bytes) -> str:
    texts: list[str] = []
    calls, has_ended = ToolCalls(), False
    for line in raw.splitlines():
        payload = line[len(_DATA) :].strip() if line.startswith(_DATA) else b""
        if payload == _DONE:
            has_ended = True
        elif payload:
            piece = read_chunk(payload)
            if piece.error is not None:
                break
            texts.append(piece.text)
            calls.add(piece.tool_calls)
    return "".join(texts) + (calls.encode() if has_ended else "")


def with_texts(disclosed: Disclosed, texts: Texts, acceptance: Acceptance) -> Disclosed:
    """The same with what the reader holds put where only a salt is shown. Raises `InvalidError` when there is
    no salt for it, `request_malformed` for a body that is none."""
    shown = disclosed
    if texts.body is not None:
        shown = replace(shown, request=_with_body(shown.request, texts.body))
    if texts.output is None:
        return shown
    if acceptance.outcome == "cut":
        return replace(shown, delivered=_with_text(shown.delivered, texts.output))
    return replace(shown, output=_with_text(shown.output, texts.output))


def _with_body(request: DisclosedRequest | None, raw: bytes) -> DisclosedRequest:
    value = None if request is None else request.value
    call = value.get("call") if isinstance(value, dict) else None
    if request is None or not isinstance(value, dict) or not isinstance(call, dict):
        raise InvalidError("the bundle has no salts for a request body", code="salt_missing", field="request")
    body = forwarded(parse_json_object(raw, depth_max=BODY_DEPTH_MAX))
    filled: JsonObject = {**value, "call": {**call, "body": body}}
    return DisclosedRequest(value=filled, salt=request.salt)


def _with_text(shown: DisclosedOutput | None, text: str) -> DisclosedOutput:
    if shown is None:
        raise InvalidError("the bundle has no salt for an answer", code="salt_missing", field="answer")
    return DisclosedOutput(text=text, salt=shown.salt)


def has_body(request: JsonValue) -> bool:
    """Whether a disclosed request shows the client's text, or never had any of its own kind."""
    call = request.get("call") if isinstance(request, dict) else None
    return not isinstance(call, dict) or "body" in call
