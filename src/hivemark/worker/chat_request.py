"""OpenAI's chat completion request as this worker takes it.

What has no effect here is taken only with the value that asks for no effect; everything else is refused
by name, never ignored.
"""

import re
from typing import Final, Literal

import msgspec

from hivemark.engine.generation import TOP_LOGPROBS_MAX
from hivemark.engine.tokenizer import require_unicode
from hivemark.errors import InvalidError

UNKNOWN_MEMBER: Final = re.compile(r"unknown field `([^`]*)`")
PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`")


class TextPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a message's content; text is the only kind."""

    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of the conversation."""

    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one string."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream holds besides content."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class ResponseFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Free text is the only format."""

    type: Literal["text"]


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The members of the request; null means the default."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    response_format: ResponseFormat | None = None
    tools: list[msgspec.Raw] | None = None

    @property
    def token_limit(self) -> int | None:
        """How many tokens to answer with at most, under either of its two names."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def top_logprobs_wanted(self) -> int | None:
        """None: no log-probabilities; else how many alternatives with each."""
        return (self.top_logprobs or 0) if self.logprobs else None


_DECODER: Final = msgspec.json.Decoder(ChatRequest)


def parse_chat_request(raw: bytes) -> ChatRequest:
    """Read a request; `InvalidError` with the member in `field` says why it is refused."""
    try:
        request = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"the body is not JSON: {error}", code="json_invalid") from error
    _require_no_effect(request)
    if not request.messages:
        raise InvalidError("at least one message is needed", code="invalid_value", field="messages")
    for message in request.messages:
        require_unicode(message.text)
    if None not in (request.max_tokens, request.max_completion_tokens):
        raise InvalidError(
            "give max_tokens or this, not both", code="invalid_value", field="max_completion_tokens"
        )
    if request.stream_options is not None and not request.stream:
        raise InvalidError("only with stream true", code="invalid_value", field="stream_options")
    _require_logprobs(request)
    return request


def _require_no_effect(request: ChatRequest) -> None:
    """Raise for members that would change the answer in a way this engine does not compute."""
    asked = {
        "n": request.n not in (None, 1),
        "frequency_penalty": bool(request.frequency_penalty),
        "presence_penalty": bool(request.presence_penalty),
        "logit_bias": bool(request.logit_bias),
        "tools": bool(request.tools),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InvalidError("not supported by this engine", code="unsupported_parameter", field=name)


def _require_logprobs(request: ChatRequest) -> None:
    if request.top_logprobs is None:
        return
    if not request.logprobs:
        raise InvalidError("only with logprobs true", code="invalid_value", field="top_logprobs")
    if not 0 <= request.top_logprobs <= TOP_LOGPROBS_MAX:
        raise InvalidError(f"not 0 to {TOP_LOGPROBS_MAX}", code="invalid_value", field="top_logprobs")


def _refused(message: str) -> InvalidError:
    """The library's message as ours: the member by name, in OpenAI's spelling of paths."""
    place = PLACE.search(message)
    path = "" if place is None else place[1]
    unknown = UNKNOWN_MEMBER.search(message)
    if unknown is not None:
        field = f"{path}.{unknown[1]}" if path else unknown[1]
        return InvalidError("unknown parameter", code="unknown_parameter", field=field)
    return InvalidError(PLACE.sub("", message), code="invalid_type", field=path or None)
