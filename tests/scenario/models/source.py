"""A server of model files that does what is scripted: stalls, lies, changes the file, redirects, refuses.

Speaks HTTP/1.1 on plain sockets in threads, so that a lie about a length is sent as it is.
"""

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate

CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def first(self) -> int | None:
        """Where the asked range begins."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else None


@dataclass
class Reply:
    """One answer; `send` bytes of the body leave, then the connection ends, or stays silent (`stall`) until
    the server is `released`, after which the rest leaves if it `goes_on`."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    send: int | None = None
    stall: bool = False
    goes_on: bool = False


Script = Callable[[Request], Reply]


class ModelServer:
    """`script` answers; every request and every body byte that left is counted."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self._tls = tls
        self.requests: list[Request] = []
        self.sent_bytes = 0
        self.sent = threading.Condition()
        self.released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def wait_until_sent(self, count: int) -> None:
        with self.sent:
            assert self.sent.wait_for(lambda: self.sent_bytes >= count, timeout=30)

    def close(self) -> None:
        self.released.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self._secured(connection) as connection:
            request = _read_request(connection)
            if request is None:
                return
            self.requests.append(request)
            reply = self.script(request)
            headers = {"Content-Length": str(len(reply.body)), "Connection": "close", **reply.headers}
            lines = [f"{name}: {text}" for name, text in headers.items() if text != ""]
            connection.sendall("\r\n".join([f"HTTP/1.1 {reply.status} X", *lines, "", ""]).encode())
            send = len(reply.body) if reply.send is None else reply.send
            self._send(connection, reply.body[:send])
            if reply.stall:
                self.released.wait(60)
            if reply.goes_on:
                self._send(connection, reply.body[send:])

    def _secured(self, connection: socket.socket) -> socket.socket:
        return connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)

    def _send(self, connection: socket.socket, body: bytes) -> None:
        for start in range(0, len(body), CHUNK_BYTES):
            part = body[start : start + CHUNK_BYTES]
            connection.sendall(part)
            with self.sent:
                self.sent_bytes += len(part)
                self.sent.notify_all()


def _read_request(connection: socket.socket) -> Request | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        part = connection.recv(65_536)
        if not part:
            return None
        raw += part
    first, *lines = raw.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    return Request(method, path, headers)


def serve_file(content: bytes, *, etag: str = '"v1"') -> Script:
    """A well-behaved server of one file."""

    def script(request: Request) -> Reply:
        return answer_range(request, content, etag=etag)

    return script


def answer_range(request: Request, content: bytes, *, etag: str = '"v1"') -> Reply:
    """What a server that keeps to the rules answers."""
    headers = {"ETag": etag, "Last-Modified": formatdate(0, usegmt=True), "Accept-Ranges": "bytes"}
    first = request.first
    if first is None or request.headers.get("if-range", etag) != etag:
        return Reply(200, headers, content)
    if first >= len(content):
        return Reply(416, {**headers, "Content-Range": f"bytes */{len(content)}"})
    rest = content[first:]
    span = f"bytes {first}-{len(content) - 1}/{len(content)}"
    return Reply(206, {**headers, "Content-Range": span}, rest)


def in_turn(*scripts: Script) -> Script:
    """One script for each request, the last one for all that follow."""
    waiting = list(scripts)
    return lambda request: (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request)
