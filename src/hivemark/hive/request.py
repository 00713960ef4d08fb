"""The effective request of a lease as this hive reads it; unknown members are refused, not ignored."""

from typing import Annotated, Any

from msgspec import Meta

from hivemark.errors import InvalidError
from hivemark.protocol.answers import Endpoint
from hivemark.protocol.grant import GrantedModel
from hivemark.protocol.jobspec_members import Sampling
from hivemark.protocol.shape import Base64Key, Count, Name, Sha256, Shape, to_shape


class RequestMessage(Shape, frozen=True, kw_only=True):
    """One message of the conversation."""

    role: Name
    content: str


class RequestQuestion(Shape, frozen=True, kw_only=True):
    """Which question is asked; with a digest it stands in a published set."""

    id: Name
    set_sha256: Sha256 | None = None


class Call(Shape, frozen=True, kw_only=True):
    """A call of an OpenAI endpoint: its body as the client posted it, and the salt under which the spec
    commits to it."""

    endpoint: Endpoint
    body: dict[str, Any]
    salt: Base64Key

    @property
    def streams(self) -> bool:
        """Whether the client reads the answer as it is made."""
        return self.body.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for usage at the end of its stream."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True


class EffectiveRequest(Shape, frozen=True, kw_only=True):
    """What is run; without a model it is the no-op benchmark. The hive never chooses the seed."""

    model: GrantedModel | None
    messages: Annotated[tuple[RequestMessage, ...], Meta(max_length=1024)]
    sampling: Sampling
    seed: Count
    question: RequestQuestion | None
    call: Call | None = None


def parse_request(value: dict[str, Any]) -> EffectiveRequest:
    """Raises `InvalidError` naming the member."""
    request = to_shape(value, EffectiveRequest, prefix="request")
    if request.model is not None and not request.messages and request.call is None:
        raise InvalidError("a model needs something to answer", code="request_empty", field="messages")
    return request
