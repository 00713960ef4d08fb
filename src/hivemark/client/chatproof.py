"""Checking an answer of `/v1` with the texts that its reader holds: the service keeps none."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hivemark.client.calltexts import Texts
from hivemark.client.verify import Verdict, verify_bundle
from hivemark.protocol.bundle import Bundle, parse_bundle
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
    bundle = parse_bundle(raw)
    missing = tuple(_hidden(bundle))
    texts = Texts(
        body=None if "request" in missing else held.body,
        output=None if "output" in missing else held.answer,
    )
    return CheckedAnswer(verify_bundle(bundle, policy, texts=texts), missing)


def _hidden(bundle: Bundle) -> Iterator[TextName]:
    shown = bundle.disclosed
    if shown.request is None:
        yield "request"
    if shown.output is None and shown.delivered is None:
        yield "output"
