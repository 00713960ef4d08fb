"""The real coordinator as a process, the real hive with the scripted engine, and a plain HTTP client."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hivemark.api.headers import sign_request
from hivemark.api.joinlink import parse_join_link
from hivemark.hive.config import Worker
from hivemark.hive.enrol import enrol
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.keyfile import load_private_key
from hivemark.protocol.keys import PrivateKey

PROGRAM = (sys.executable, "-m", "hivemark.coordinator")
SCRIPTED = (sys.executable, "-m", "hivemark.testing.engine", "--worker")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Coordinator:
    """One home and, while it runs, its process."""

    home: Path
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    admin_token: str = ""
    hives: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, listen: str | None = None) -> "Coordinator":
        where = listen or f"127.0.0.1:{urlsplit(self.url).port if self.ready else 0}"
        self.home.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [*PROGRAM, "--home", self.home, "--listen", where, "--watchdog", *self.flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.home / "stderr").open("ab"),
            env={**os.environ, **self.environment},
        )
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        if self.ready["event"] == "ready" and self.ready["first_start"]:
            self.admin_token = self.ready["first_start"]["admin_token"]
        return self

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def account_key(self) -> PrivateKey:
        return load_private_key(self.home / "keys" / "account.key")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        assert self.process is not None
        status = self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process = None
        return status

    def close(self) -> None:
        for hive in self.hives:
            hive.kill()
            hive.wait(10)
            assert hive.stdin is not None and hive.stdout is not None
            hive.stdin.close()
            hive.stdout.close()
        if self.process is not None:
            self.stop(signal.SIGKILL)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        admin: bool = False,
        key: PrivateKey | None = None,
    ) -> Answer:
        """One request; `admin` shows the token, `key` signs as its account."""
        extra = dict(headers or {})
        if admin:
            extra["Authorization"] = f"Bearer {self.admin_token}"
        if key is not None:
            extra["Authorization"] = sign_request(
                key, method=method, target=target, body=body or b"", now_ms=now_ms(), random=os.urandom
            )
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
        try:
            connection.request(method, target, body, extra)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, target: str, **how: Any) -> Any:
        answer = self.ask("GET", target, **how)
        assert answer.status == 200, answer.body
        return answer.json

    def post_job(self, raw: bytes, **how: Any) -> Answer:
        return self.ask("POST", "/api/v1/jobs", raw, **how)

    def submit(self, value: dict[str, Any], *, key: PrivateKey | None = None) -> str:
        answer = self.post_job(self.sign(value, key=key))
        assert answer.status == 202, answer.body
        return str(answer.json["id"])

    def sign(self, value: dict[str, Any], *, key: PrivateKey | None = None) -> bytes:
        return sign_jobspec(value, key or self.account_key, now_ms=now_ms(), random=os.urandom)

    def add_hive(
        self, name: str, *, region: str | None = None, slots: int = 2, script: dict[str, Any] | None = None
    ) -> "Hive":
        """Enrol a hive whose workers are scripted engines, and start it."""
        answer = self.ask("POST", "/api/v1/hives/join-links", b"{}", admin=True)
        assert answer.status == 201, answer.body
        home = self.home.parent / f"hive-{name}"
        command = (*SCRIPTED, "--script", json.dumps(script or {}))
        enrolled = enrol(
            home,
            parse_join_link(answer.json["link"]),
            name=name,
            region=region,
            slots=slots,
            simulated=("region",),
            worker=Worker(command=command, concurrency=8),
        )
        return Hive(self, home, enrolled.hive).start()

    def wait_for_job(self, job: str, *, timeout_s: float = 60.0) -> Any:
        """The job once it is final, as its account sees it."""

        def final() -> Any:
            body = self.get(f"/api/v1/jobs/{job}", key=self.account_key)
            return body if body["state"] in ("completed", "failed", "cancelled") else None

        return wait_until(final, timeout_s=timeout_s)


@dataclass
class Hive:
    coordinator: Coordinator
    home: Path
    id: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Hive":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hivemark.hive", "--home", self.home, "--watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.home / "stderr").open("ab"),
        )
        self.coordinator.hives.append(self.process)
        return self

    def wait_until_linked(self) -> "Hive":
        def linked() -> bool:
            hive = self.coordinator.get(f"/api/v1/hives/{self.id}")
            return bool(hive["linked"] and hive["models"])

        wait_until(linked, timeout_s=30)
        return self


def wait_until(condition: Callable[[], Any], *, timeout_s: float) -> Any:
    """The first true value of `condition`, asked 20 times a second."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.05)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def noop(spec_id: str, **members: Any) -> dict[str, Any]:
    return {"id": spec_id, "version": "1", "benchmark": "noop", **members}


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    running = Coordinator(tmp_path / "home").start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """One process for tests that leave no trace another could see."""
    running = Coordinator(tmp_path_factory.mktemp("coordinator") / "home").start()
    yield running
    running.close()
