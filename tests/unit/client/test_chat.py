"""Chat over `/v1`: what is sent, what a stream means however it is cut, what its errors are."""

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from hivemark.client.chat import ChatClient, ChatRequest, Message
from hivemark.client.chatstream import ChatStream, Usage
from hivemark.errors import (
    BadUpstreamError,
    HivemarkError,
    InvalidError,
    NotFoundError,
    OverLimitError,
    PaymentRequiredError,
    UnauthenticatedError,
    UnavailableError,
)

REQUEST = ChatRequest(model="m", messages=[Message("user", "Hello 🐝")], seed=7)
STREAM = (
    b': keep-alive\n\ndata: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc"}}]}\n\n'
    b'data: {"choices":[{"index":1,"delta":{"content":"other"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x90\x9d"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    b': hivemark {"execution":"exe_1","outcome":"accepted","new":1}\n\ndata: [DONE]\n\n'
)
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/"))

    yield start
    for server in servers:
        await server.close()


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_means_the_same_in_any_portions(cuts: list[int]) -> None:
    stream, edges = ChatStream(), [0, *sorted(cuts), len(STREAM)]
    pieces = [piece for start, end in itertools.pairwise(edges) for piece in stream.feed(STREAM[start:end])]
    stream.close()
    assert "".join(piece.text for piece in pieces) == "Grü🐝"
    assert stream.finish_reason == "stop"
    assert stream.usage == Usage(prompt_tokens=3, completion_tokens=2)
    assert (stream.note.execution, stream.note.outcome) == ("exe_1", "accepted")


@pytest.mark.parametrize("end", [0, 100, 200, STREAM.index(b"\xf0\x9f")])
def test_a_stream_without_its_end_is_broken(end: int) -> None:
    stream = ChatStream()
    stream.feed(STREAM[:end])
    with pytest.raises(UnavailableError) as caught:
        stream.close()
    assert caught.value.code == "stream_broken"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ({"type": "server_error", "param": None, "code": "hive_lost"}, UnavailableError, "hive_lost"),
        ({"type": "insufficient_quota", "code": None}, PaymentRequiredError, "insufficient_quota"),
        ({"type": "x", "code": "insufficient_quota"}, PaymentRequiredError, "insufficient_quota"),
        ({"type": "authentication_error", "code": "key_revoked"}, UnauthenticatedError, "key_revoked"),
        ({"message": 7, "type": ["x"]}, UnavailableError, "unavailable"),
        ("as Ollama says it", UnavailableError, "unavailable"),
    ],
)  # fmt: skip
def test_an_error_in_the_stream_is_raised(error: object, kind: type[HivemarkError], code: str) -> None:
    with pytest.raises(kind) as caught:
        ChatStream().feed(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
    assert (type(caught.value), caught.value.code) == (kind, code)


@pytest.mark.parametrize(
    "event",
    [b"data: nope", b"data: [1]", b'data: {"choices":7}', b'data: {"choices":[{"delta":{"content":7}}]}',
     b": hivemark nope", b": hivemark [1]"],
)  # fmt: skip
def test_what_is_no_chunk_is_refused(event: bytes) -> None:
    with pytest.raises(BadUpstreamError) as caught:
        ChatStream().feed(event + b"\n\n")
    assert caught.value.code == "event_malformed"


async def test_a_question_is_posted_in_openai_s_form_with_the_key(serve: Serve) -> None:
    seen: list[tuple[str, str | None, bytes]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, request.headers.get("Authorization"), await request.read()))
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Hivemark-Execution": "exe_9"}
        return web.Response(body=STREAM, headers={**headers, "Hivemark-Job": "job_9"})

    async with (
        ChatClient(await serve(handler), api_key="hm_secret") as client,
        client.ask(REQUEST) as answer,
    ):
        text = "".join([piece.text async for piece in answer.pieces()])
    assert (text, answer.execution, answer.job) == ("Grü🐝", "exe_9", "job_9")
    assert seen == [("/v1/chat/completions", "Bearer hm_secret", answer.body)]
    assert json.loads(answer.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello 🐝"}],
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_an_answer_in_one_piece_names_its_execution(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert "stream" not in await request.json()
        return web.json_response({"id": "c", "choices": []}, headers={"Hivemark-Execution": "exe_9"})

    async with ChatClient(await serve(handler)) as client:
        value = await client.ask_whole(REQUEST)
    assert value == {"id": "c", "choices": [], "hivemark": {"execution": "exe_9", "job": None}}


@pytest.mark.parametrize(
    ("status", "type_", "code", "kind", "hint"),
    [
        (404, "invalid_request_error", "model_not_found", NotFoundError, None),
        (400, "invalid_request_error", "context_length_exceeded", InvalidError, None),
        (401, "authentication_error", "api_key_revoked", UnauthenticatedError, None),
        (429, "rate_limit_error", "rate", OverLimitError, "wait 7 s, then ask again"),
        (429, "insufficient_quota", "insufficient_quota", PaymentRequiredError, None),
        (503, "server_error", "no_hive", UnavailableError, None),
    ],
)
async def test_a_refusal_is_the_error_it_names(
    serve: Serve, status: int, type_: str, code: str, kind: type[HivemarkError], hint: str | None
) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        error = {"message": "no", "type": type_, "param": None, "code": code}
        return web.json_response({"error": error}, status=status, headers={"Retry-After": "7"})

    async with ChatClient(await serve(handler)) as client:
        with pytest.raises(HivemarkError) as caught:
            async with client.ask(REQUEST):
                pass
    assert (type(caught.value), caught.value.code, caught.value.hint) == (kind, code, hint)


async def test_a_page_instead_of_a_stream_is_refused(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    async with ChatClient(await serve(handler)) as client:
        with pytest.raises(BadUpstreamError) as caught:
            async with client.ask(REQUEST):
                pass
        with pytest.raises(BadUpstreamError):
            await client.ask_whole(REQUEST)
    assert caught.value.code == "answer_malformed"


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidError):
        ChatRequest(model="m", messages=[Message("user", "\udcff")]).encode(stream=True)
