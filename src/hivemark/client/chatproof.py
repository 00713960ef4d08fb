"""Checking an answer of `/v1` with the texts that its reader holds: the service keeps none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from hivemark.client.verify import Verdict, verify_bundle
from hivemark.errors import UnverifiedError
from hivemark.protocol.bundle import Bundle, DisclosedOutput, parse_bundle
from hivemark.translog.policy import Policy

TextName = Literal["request", "output"]


@dataclass(frozen=True, slots=True)
class HeldTexts:
    """What the reader has himself: the body he posted, and the answer as it reached him."""

    body: bytes
    answer: str


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """Everything in the verdict held; `not_compared` names the texts for which no commitment was opened."""

    verdict: Verdict
    not_compared: tuple[TextName, ...]


def verify_answer(raw: bytes, policy: Policy | None, held: HeldTexts) -> CheckedAnswer:
    """As `verify_bundle`, about the texts that the reader holds; raises `UnverifiedError`."""
    bundle = with_texts(parse_bundle(raw), held)
    return CheckedAnswer(verify_bundle(bundle, policy), tuple(_hidden(bundle)))


def with_texts(bundle: Bundle, held: HeldTexts) -> Bundle:
    """The bundle with the reader's own answer in place of whatever the server says the answer was.

    A request that the server shows has to put the very messages that were posted, else `UnverifiedError`.
    """
    request, output = bundle.disclosed.request, bundle.disclosed.output
    if request is not None and _messages(request.value) != _messages(json.loads(held.body)):
        raise UnverifiedError("other messages were put than were posted", code="disclosure_mismatch")
    if output is None:
        return bundle
    shown = replace(bundle.disclosed, output=DisclosedOutput(held.answer, output.salt))
    return replace(bundle, disclosed=shown)


def _hidden(bundle: Bundle) -> Iterator[TextName]:
    if bundle.disclosed.request is None:
        yield "request"
    if bundle.disclosed.output is None:
        yield "output"


def _messages(value: object) -> object:
    return value.get("messages") if isinstance(value, dict) else None
