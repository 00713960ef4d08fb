"""in-toto Statements v1 around our predicates (spec/statements 2)."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta

from hivemark.errors import InvalidError, TooLargeError
from hivemark.protocol.canonical import encode_canonical, parse_canonical
from hivemark.protocol.dsse import ENVELOPE_BYTES_MAX
from hivemark.protocol.shape import Sha256, Shape, from_shape, to_shape
from hivemark.protocol.strictjson import JsonObject, JsonValue

STATEMENT: Final = "https://in-toto.io/Statement/v1"

P = TypeVar("P", bound=Shape)


class _Digest(Shape, frozen=True, kw_only=True):
    sha256: Sha256


class Subject(Shape, frozen=True, kw_only=True):
    """What a statement is about: a name and one digest."""

    name: str
    digest: _Digest

    @classmethod
    def of(cls, name: str, sha256: str) -> "Subject":
        """The subject with this SHA-256 in hex."""
        return cls(name=name, digest=_Digest(sha256=sha256))


class _Statement(
    Shape, frozen=True, kw_only=True, rename={"type_": "_type", "predicate_type": "predicateType"}
):
    type_: Literal["https://in-toto.io/Statement/v1"]
    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: str
    predicate: dict[str, object]


def encode_statement(predicate_type: str, subject: Subject, predicate: Shape) -> bytes:
    """The canonical bytes of the statement: the payload that is signed.

    Raises `InvalidError` or `TooLargeError` for what `parse_statement` would refuse: records are not checked
    against their types when they are made.
    """
    value = from_shape(predicate)
    payload = encode_canonical(
        {
            "_type": STATEMENT,
            "subject": [from_shape(subject)],
            "predicateType": predicate_type,
            "predicate": value,
        }
    )
    if len(payload) > ENVELOPE_BYTES_MAX:
        raise TooLargeError(
            f"a statement of {len(payload)} bytes; the limit is {ENVELOPE_BYTES_MAX}", code="too_large"
        )
    to_shape(value, type(predicate), prefix="predicate")
    return payload


def parse_statement(payload: bytes, predicate_type: str, shape: type[P]) -> tuple[Subject, P]:
    """The strict inverse of `encode_statement`; raises `InvalidError` naming the member."""
    value = parse_canonical(payload, bytes_max=ENVELOPE_BYTES_MAX)
    statement = to_shape(value, _Statement)
    if statement.predicate_type != predicate_type:
        raise InvalidError(
            f"expected {predicate_type}", code="predicate_type_mismatch", field="predicateType"
        )
    predicate = to_shape(_member(value, "predicate"), shape, prefix="predicate")
    return statement.subject[0], predicate


def require_subject(actual: Subject, expected: Subject) -> None:
    """Raises `InvalidError` with code `subject_mismatch`: subject and predicate must say the same."""
    if actual != expected:
        raise InvalidError(
            "the subject is not what the predicate says", code="subject_mismatch", field="subject"
        )


def require_reasons(predicate: Shape, absent: Mapping[str, str], *, silent: frozenset[str]) -> None:
    """Every null has a reason in `absent`, and every reason a null (spec/statements 2.4).

    `silent` names the members whose null is itself the information.
    """
    value = from_shape(predicate)
    nulls = set(null_paths(value)) - silent
    for path in sorted(nulls - absent.keys()):
        raise InvalidError(
            "null without a reason in `absent`", code="reason_missing", field=f"predicate.{path}"
        )
    for path in sorted(absent.keys() - nulls):
        raise InvalidError(
            "a reason for a member that is not null", code="reason_unneeded", field=f"predicate.{path}"
        )


def null_paths(value: JsonObject, prefix: str = "") -> Iterator[str]:
    """The dotted paths of all members that are null, outermost only."""
    for name, member in value.items():
        if member is None:
            yield prefix + name
        elif isinstance(member, dict):
            yield from null_paths(member, f"{prefix}{name}.")


def _member(value: JsonValue, name: str) -> JsonValue:
    assert isinstance(value, dict)
    return value[name]
