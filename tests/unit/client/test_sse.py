"""Event streams are understood however the network cuts them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.client.sse import EVENT_BYTES_MAX, ServerEvent, SseParser
from hivemark.errors import BadUpstreamError

STREAM = (
    b': keep-alive\n\nid: 1\nevent: job_created\ndata: {"at":1}\n\n'
    b"id: 2\r\nevent: execution_leased\r\ndata: first\r\ndata: second \xf0\x9f\x90\x9d\r\n\r\n"
    b"data: without a name\n\n"
)
EVENTS = [
    ServerEvent("1", "job_created", '{"at":1}'),
    ServerEvent("2", "execution_leased", "first\nsecond 🐝"),
    ServerEvent("2", "message", "without a name"),
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_means_the_same_in_any_portions(cuts: list[int]) -> None:
    parser, edges = SseParser(), [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in itertools.pairwise(edges) for event in parser.feed(STREAM[start:end])]
    assert events == EVENTS


def test_an_unfinished_event_is_not_delivered() -> None:
    assert SseParser().feed(b"id: 7\nevent: x\ndata: half\n") == []


def test_an_event_without_bounds_is_refused() -> None:
    parser = SseParser()
    with pytest.raises(BadUpstreamError) as caught:
        parser.feed(b"data: " + b"x" * EVENT_BYTES_MAX)
    assert caught.value.code == "event_too_large"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BadUpstreamError) as caught:
        SseParser().feed(b"data: \xff\n")
    assert caught.value.code == "event_malformed"
