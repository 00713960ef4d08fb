"""The client raises what the server meant."""

import json

import pytest

from hivemark.api.status import ERROR_OF_KIND, STATUS
from hivemark.client.problems import error_of
from hivemark.errors import BadUpstreamError, ForbiddenError, InvalidError, Kind, UnverifiedError


def problem(**members: object) -> bytes:
    return json.dumps({"type": "about:blank", "title": "t", "detail": "what happened", **members}).encode()


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.UNVERIFIED])
def test_each_status_gives_its_error_back(kind: Kind) -> None:
    error = error_of(STATUS[kind], problem(code="some_code", field="a.b", hint="do this"))
    assert type(error) is ERROR_OF_KIND[kind]
    assert (error.code, error.field, error.hint, error.message) == (
        "some_code",
        "a.b",
        "do this",
        "what happened",
    )


def test_two_kinds_that_share_a_status_are_told_apart_by_the_problem() -> None:
    assert type(error_of(400, problem(code="x"))) is InvalidError
    assert type(error_of(400, problem(code="x", kind="unverified"))) is UnverifiedError


@pytest.mark.parametrize("body", [b"", b"<html>proxy</html>", b"[1]", b'{"detail":"no code"}', b"\xff"])
def test_an_answer_of_somebody_else_is_bad_upstream(body: bytes) -> None:
    error = error_of(403, body)
    assert type(error) is BadUpstreamError
    assert error.code == "not_a_problem"


def test_a_status_outside_the_contract_is_bad_upstream() -> None:
    assert type(error_of(418, problem(code="teapot"))) is BadUpstreamError


def test_members_of_the_wrong_type_are_left_out() -> None:
    error = error_of(403, problem(code="x", field=7, hint=["a"]))
    assert type(error) is ForbiddenError
    assert (error.field, error.hint) == (None, None)
