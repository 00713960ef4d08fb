"""Questions by id: versioned sets shipped with the package, each known by the digest of its content.

A published set never changes; a correction is a new version in a new file. Nothing is substituted: an
unknown id is an error.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Final

from msgspec import Meta

from hivemark.errors import InvalidError
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.shape import Name, Shape, to_shape
from hivemark.protocol.strictjson import JsonObject, parse_json_object

_SETS: Final = "question_sets"
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Equals(Shape, frozen=True, kw_only=True, tag_field="rule", tag="equals"):
    """The whole answer, normalised, is `value`, normalised."""

    value: Annotated[str, Meta(min_length=1)]


class ContainsAny(Shape, frozen=True, kw_only=True, tag_field="rule", tag="contains_any"):
    """One of the values stands in the answer as whole words, both normalised."""

    values: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]


class Number(Shape, frozen=True, kw_only=True, tag_field="rule", tag="number"):
    """The last number in the answer is `value`."""

    value: int | float


ExpectedRule = Equals | ContainsAny | Number


@dataclass(frozen=True, slots=True)
class SetQuestion:
    """A question as its set has it. `expected` is the rule as JSON (`analysis/answers.py` applies it), None
    where no answer can be checked."""

    id: str
    text: str
    category: str
    language: str
    expected: JsonObject | None
    source: str
    set_name: str
    set_version: str
    set_sha256: str


class _Question(Shape, frozen=True, kw_only=True):
    id: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}(?!\n)$")]
    text: Annotated[str, Meta(min_length=1)]
    category: Name
    language: Name
    expected: ExpectedRule | None
    source: Name


class _Set(Shape, frozen=True, kw_only=True):
    name: Name
    version: Name
    licence: Name
    description: str
    questions: tuple[_Question, ...]


class QuestionRegistry:
    """The questions of several sets. Ids are unique over all of them."""

    def __init__(self, questions: Iterable[SetQuestion]) -> None:
        self._by_id: dict[str, SetQuestion] = {}
        for question in questions:
            if question.id in self._by_id:
                raise InvalidError(f"the question {question.id!r} stands in two places")
            self._by_id[question.id] = question

    def get(self, question_id: str, *, field: str | None = None) -> SetQuestion:
        """The question, or `InvalidError` with code `unknown_question` naming `field`."""
        question = self._by_id.get(question_id)
        if question is None:
            raise InvalidError(
                f"there is no question {question_id!r}",
                code="unknown_question",
                field=field,
                hint="give it a text, or see `GET /api/v1/questions`",
            )
        return question

    def all(self) -> tuple[SetQuestion, ...]:
        """Every question, in the order of the sets' names and within each set its own."""
        return tuple(self._by_id.values())


def parse_question_set(raw: bytes) -> tuple[SetQuestion, ...]:
    """The questions of one set file; its digest is SHA-256 of the RFC 8785 bytes of the whole file."""
    value = parse_json_object(raw)
    parsed = to_shape(value, _Set)
    digest = sha256(encode_canonical(value)).hexdigest()
    posted = value["questions"]
    assert isinstance(posted, list)  # to_shape has checked it
    return tuple(
        SetQuestion(
            id=question.id,
            text=question.text,
            category=question.category,
            language=question.language,
            expected=_rule_as_posted(member),
            source=question.source,
            set_name=parsed.name,
            set_version=parsed.version,
            set_sha256=digest,
        )
        for question, member in zip(parsed.questions, posted, strict=True)
    )


def load_question_sets() -> QuestionRegistry:
    """The sets shipped in this package."""
    folder = files(__package__) / _SETS
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    return QuestionRegistry(
        question for name in names for question in parse_question_set((folder / name).read_bytes())
    )


def question_set(registry: QuestionRegistry, name: str) -> tuple[SetQuestion, ...]:
    """The questions of the set of this name, in its order."""
    return tuple(question for question in registry.all() if question.set_name == name)


def inline_rule(expected: str) -> JsonObject:
    """The rule of a question that was posted in full: its `expected` is a number to find last in the answer,
    or words to find anywhere in it."""
    if _NUMBER.fullmatch(expected):
        return {"rule": "number", "value": float(expected) if "." in expected else int(expected)}
    return {"rule": "contains_any", "values": [expected]}


def _rule_as_posted(question: object) -> JsonObject | None:
    assert isinstance(question, dict)
    rule = question["expected"]
    assert rule is None or isinstance(rule, dict)
    return rule
