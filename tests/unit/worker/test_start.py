"""The start protocol's lines: strict in, and one JSON object out."""

import json
from typing import Any

import pytest

from hivemark.errors import InvalidError
from hivemark.worker.start import (
    encode_failed,
    encode_loading,
    encode_ready,
    parse_start,
    thread_environment,
)

ORDER: dict[str, Any] = {
    "model_path": "/m.gguf",
    "model_name": "m",
    "token": "0123456789abcdef",
    "threads": 2,
    "context_tokens_max": None,
}


def test_an_order_is_read_and_its_token_is_not_shown() -> None:
    order = parse_start(json.dumps(ORDER).encode())
    assert (order.model_path, order.threads, order.context_tokens_max) == ("/m.gguf", 2, None)
    assert order.token not in repr(order)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model_path": ""}, "model_path"),
        ({"model_name": 5}, "model_name"),
        ({"token": "short"}, "token"),
        ({"threads": 0}, "threads"),
        ({"threads": True}, "threads"),
        ({"threads": 257}, "threads"),
        ({"context_tokens_max": 0}, "context_tokens_max"),
        ({"context_tokens_max": "9"}, "context_tokens_max"),
        ({"more": 1}, "more"),
    ],
)
def test_a_member_that_does_not_hold_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_start(json.dumps({**ORDER, **changes}).encode())
    assert (caught.value.code, caught.value.field) == ("start_invalid", field)


@pytest.mark.parametrize("name", ORDER)
def test_a_missing_member_is_named(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_start(json.dumps({key: value for key, value in ORDER.items() if key != name}).encode())
    assert caught.value.field == name


@pytest.mark.parametrize("line", [b"", b"\xff", b"[]", b"1", b'{"model_path"'])
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidError):
        parse_start(line)


def test_events_are_single_lines() -> None:
    for line in (
        encode_loading(bytes_done=1, bytes_total=2),
        encode_ready(port=1, model={"name": "a\nb"}, engine={}),
        encode_failed(code="c", message="two\nlines"),
    ):
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
        assert json.loads(line)["event"]


def test_every_blas_is_held_to_the_threads() -> None:
    assert set(thread_environment(3).values()) == {"3"}
    assert "OPENBLAS_NUM_THREADS" in thread_environment(3)
