"""The client's HTTP: what it sends, what it refuses, and what it makes of failures; against a real server."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hivemark.api.headers import SCHEME, verify_request
from hivemark.client import transport
from hivemark.client.sdk import HivemarkClient
from hivemark.client.transport import Transport, require_base_url
from hivemark.errors import BadUpstreamError, DeadlineError, ForbiddenError, InvalidError, UnavailableError
from hivemark.protocol.keys import PrivateKey

NOW_MS = 1_795_205_429_123
KEY = PrivateKey.from_seed(bytes(range(32)))
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        return str(server.make_url("/"))

    yield start
    for server in servers:
        await server.close()


def signing(url: str) -> Transport:
    return Transport(url, account_key=KEY, now_ms=lambda: NOW_MS, random=lambda count: bytes(count))


async def test_a_request_is_signed_for_exactly_what_is_asked(serve: Serve) -> None:
    seen: list[tuple[str, str, bytes, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(
            (request.method, request.raw_path, await request.read(), request.headers["Authorization"])
        )
        return web.Response(body=b"{}")

    async with signing(await serve(handler)) as http:
        await http.request("POST", "/api/v1/things/a b", query={"limit": 5, "name": "é&x"}, body=b"body")
    method, target, body, authorization = seen[0]
    scheme, _, credential = authorization.partition(" ")
    assert scheme == SCHEME
    signed = verify_request(credential, method=method, target=target, body=body, now_ms=NOW_MS)
    assert signed.public_key == KEY.public


async def test_without_a_key_nothing_is_claimed(serve: Serve) -> None:
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    url = await serve(handler)
    async with Transport(url) as http:
        await http.request("GET", "/x")
    async with Transport(url, admin_token="secret") as http:
        await http.request("GET", "/x")
    assert seen == [None, "Bearer secret"]


async def test_a_refusal_is_raised_as_the_server_named_it(serve: Serve) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response({"code": "key_not_trusted", "detail": "no", "hint": "ask"}, status=403)

    async with Transport(await serve(handler)) as http:
        with pytest.raises(ForbiddenError) as caught:
            await http.request("GET", "/x")
    assert (caught.value.code, caught.value.hint) == ("key_not_trusted", "ask")


async def test_redirects_are_not_followed(serve: Serve) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://192.0.2.1/"})

    async with Transport(await serve(handler)) as http:
        with pytest.raises(BadUpstreamError):
            await http.request("GET", "/x")


async def test_an_answer_over_the_limit_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES_MAX", 1000)

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1001)

    async with Transport(await serve(handler)) as http:
        with pytest.raises(BadUpstreamError) as caught:
            await http.request("GET", "/x")
    assert caught.value.code == "answer_too_large"


async def test_nobody_there_says_what_to_do(unused_tcp_port_url: str) -> None:
    async with Transport(unused_tcp_port_url) as http:
        with pytest.raises(UnavailableError) as caught:
            await http.request("GET", "/x")
    assert (caught.value.code, caught.value.hint) == ("coordinator_unreachable", "hivemark up")


async def test_a_mute_server_is_a_deadline(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TOTAL_TIMEOUT_S", 0.05)

    released = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with Transport(await serve(handler)) as http:
        with pytest.raises(DeadlineError):
            await http.request("GET", "/x")
    released.set()


async def test_lines_are_given_as_they_come(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for portion in (b'{"a":1}\n{"b"', b":2}\n\n", b'{"c":3}'):
            await response.write(portion)
        return response

    async with Transport(await serve(handler)) as http:
        assert [line async for line in http.stream_lines("/x")] == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_events_go_on_where_the_connection_broke(serve: Serve) -> None:
    asked: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Last-Event-ID"))
        response = web.StreamResponse()
        await response.prepare(request)
        first = int(asked[-1] or 0) + 1
        for seq in range(first, first + 2):  # two events, then the connection ends
            name = "job_completed" if seq == 4 else "execution_leased"
            body = json.dumps({"execution": f"exe_{seq}", "state": "leased"})
            await response.write(f"id: {seq}\nevent: {name}\ndata: {body}\n\n".encode())
        return response

    async with HivemarkClient(await serve(handler)) as client:
        seen = [(event.seq, event.name) async for event in client.events("job_x")]
    assert seen == [
        (1, "execution_leased"),
        (2, "execution_leased"),
        (3, "execution_leased"),
        (4, "job_completed"),
    ]
    assert asked == [None, "2"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("https://hive.example/", "https://hive.example"),
        ("http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_an_address_has_one_form(text: str, url: str) -> None:
    assert require_base_url(text) == url


@pytest.mark.parametrize("text", ["ftp://x", "http://x/path", "http://x?y=1", "http://"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        require_base_url(text)
    assert caught.value.code == "url_malformed"


@pytest.fixture
def unused_tcp_port_url() -> str:

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
