"""The WebSocket shell: who has proven nothing takes no thread, and a full pool closes links in order."""

import asyncio
import os
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from hivemark.coordinator.context import Context
from hivemark.coordinator.gateway import routes
from hivemark.coordinator.gateway.pipes import Pipes
from hivemark.coordinator.pool import Busy, Pool
from hivemark.coordinator.wakeups import Wakeups

from .conftest import World


class FullPool(Pool):
    """A pool in which everything is taken."""

    async def run(self, *_: Any, **__: Any) -> Any:
        raise Busy(code="busy")


class Socket:
    """One WebSocket's ASGI channel."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.incoming.put_nowait({"type": "websocket.connect"})

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def serve(self, world: World, pool: Pool) -> "asyncio.Task[None]":
        context = Context(
            services=world.services,
            pool=pool,
            wakeups=Wakeups(asyncio.get_running_loop()),
            stopping=asyncio.Event(),
            tls=False,
        )
        link = routes.build_link_routes(context, Pipes(), random=os.urandom)[0]
        scope = {"type": "websocket", "path": routes.LINK_PATH, "headers": [], "query_string": b""}
        return asyncio.create_task(link.handle(scope, self.incoming.get, self.send))


async def test_a_stranger_who_says_nothing_takes_no_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "TICK_S", 0.01)
    socket = Socket()
    task = socket.serve(world, FullPool())
    await asyncio.sleep(0.2)
    assert [message["type"] for message in socket.sent] == ["websocket.accept"]
    assert not task.done()
    socket.incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await task


async def test_a_full_pool_closes_a_link_so_that_it_comes_back(world: World) -> None:
    socket = Socket()
    hello = msgspec.json.encode(world.hive().hello()).decode()
    socket.incoming.put_nowait({"type": "websocket.receive", "text": hello})
    await socket.serve(world, FullPool())
    assert socket.sent[-1] == {"type": "websocket.close", "code": 1013, "reason": "busy"}


async def test_a_binary_message_is_none_of_the_link(world: World) -> None:
    socket, pool = Socket(), Pool()
    socket.incoming.put_nowait({"type": "websocket.receive", "bytes": b"{}"})
    try:
        await socket.serve(world, pool)
    finally:
        pool.close()
    assert socket.sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "handshake_failed"}
