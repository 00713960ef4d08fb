"""OpenAI calls through the coordinator, against the engine asked directly and nginx in front of it.

    python bench/calls.py [--connections 32 128] [--words 100] [--requests 400] [--skip-cold]

One run, one load generator, one scripted engine (a real OpenAI server process that answers word by word)
behind all three ways: asked directly; through nginx, the limit of what a proxy can do; through a hive and
the coordinator, with API key, hold, lease, signed receipt and log entry for every answer. The engine and the
generator are Python and share the cores with what is measured: read the ratios.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from chain import Network, _wait

from hivemark.api.joinlink import parse_join_link
from hivemark.hive.config import AttachedUrl, encode_config, load_config
from hivemark.hive.enrol import enrol

MODEL: Final = "scripted"
TOKENS_PER_S: Final = 50
SLOTS: Final = 256
PACED: Final = {"token_delay_s": 1 / TOKENS_PER_S}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the engine, and the processes on it whose CPU is counted."""

    name: str
    url: str
    headers: dict[str, str]
    processes: dict[str, psutil.Process]

    def cpu_s(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self.processes.items()}


@dataclass(frozen=True, slots=True)
class Streams:
    """What so many streams at once came to."""

    rate: float
    first_ms: list[float]
    cpu_us: dict[str, float]

    def first(self, share: float) -> float:
        return sorted(self.first_ms)[min(len(self.first_ms) - 1, int(share * len(self.first_ms)))]


async def stream(http: aiohttp.ClientSession, way: Way, words: int, begun: float) -> tuple[float, int]:
    """Milliseconds to the first event with text, and how many events had text."""
    body = _body(words, stream=True, **PACED)
    first, events = 0.0, 0
    async with http.post(f"{way.url}/v1/chat/completions", json=body, headers=way.headers) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            if line.startswith(b"data: {") and b'"content": ""' not in line and b'"content"' in line:
                first = first or (time.perf_counter() - begun) * 1000
                events += 1
    assert events == words, f"{events} events of {words}: {way.name}"
    return first, events


async def paced(way: Way, connections: int, words: int) -> Streams:
    """`connections` streams at once, started over one second."""
    async with _session() as http:
        before, began = way.cpu_s(), time.perf_counter()

        async def one(number: int) -> tuple[float, int]:
            await asyncio.sleep(number / connections)
            return await stream(http, way, words, time.perf_counter())

        ended = await asyncio.gather(*(one(number) for number in range(connections)))
        seconds = time.perf_counter() - began
    after = way.cpu_s()
    events = sum(count for _, count in ended)
    return Streams(
        rate=events / seconds,
        first_ms=[first for first, _ in ended],
        cpu_us={name: (after[name] - before[name]) * 1e6 / events for name in after},
    )


async def saturated(way: Way, requests: int, at_once: int) -> tuple[float, dict[str, float]]:
    """Unary answers a second, and milliseconds of CPU for each on every process."""
    places = asyncio.Semaphore(at_once)
    async with _session() as http:
        before, began = way.cpu_s(), time.perf_counter()

        async def one() -> None:
            async with (
                places,
                http.post(f"{way.url}/v1/chat/completions", json=_body(8), headers=way.headers) as response,
            ):
                assert response.status == 200, await response.text()
                await response.read()

        await asyncio.gather(*(one() for _ in range(requests)))
        seconds = time.perf_counter() - began
    after = way.cpu_s()
    return requests / seconds, {name: (after[name] - before[name]) * 1e3 / requests for name in after}


async def memory(way: Way, connections: int) -> dict[str, float]:
    """KiB that an open stream takes in each process."""
    async with _session() as http:
        before = {name: process.memory_full_info().pss for name, process in way.processes.items()}
        body = _body(400, stream=True, **PACED)

        async def hold() -> None:
            async with http.post(
                f"{way.url}/v1/chat/completions", json=body, headers=way.headers
            ) as response:
                async for _ in response.content:
                    pass

        held = [asyncio.create_task(hold()) for _ in range(connections)]
        await asyncio.sleep(5)
        during = {name: process.memory_full_info().pss for name, process in way.processes.items()}
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
    return {name: (during[name] - before[name]) / 1024 / connections for name in before}


def _body(words: int, **more: Any) -> dict[str, Any]:
    script = {name: more.pop(name) for name in ("token_delay_s",) if name in more}
    directives = "".join(f"[[{name}={value}]]" for name, value in {"words": words, **script}.items())
    return {"model": MODEL, "messages": [{"role": "user", "content": f"Go. {directives}"}],
            "max_tokens": words + 8, **more}  # fmt: skip


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**22)


@contextmanager
def ways(folder: Path) -> Iterator[list[Way]]:
    """The engine, nginx in front of it where it is installed, and a whole network."""
    with ExitStack() as stack:
        engine, engine_url = _engine(stack)
        found = [Way("direct", engine_url, {}, {"engine": engine})]
        if shutil.which("nginx"):
            found.append(_nginx(stack, folder, engine_url))
        found.append(_network(stack, folder, engine_url))
        yield found


def _engine(stack: ExitStack) -> tuple[psutil.Process, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hivemark.testing.engine", "--model", MODEL], stdout=subprocess.PIPE
    )
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    assert process.stdout is not None
    return psutil.Process(process.pid), f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"


def _nginx(stack: ExitStack, folder: Path, engine_url: str) -> Way:
    port = _free_port()
    (folder / "nginx").mkdir()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/nginx/pid; error_log stderr error;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/nginx; proxy_temp_path {folder}/nginx;\n"
        f" fastcgi_temp_path {folder}/nginx; uwsgi_temp_path {folder}/nginx; scgi_temp_path {folder}/nginx;\n"
        f" upstream engine {{ server {engine_url.removeprefix('http://')}; keepalive 512; }}\n"
        f" server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://engine; proxy_buffering off;\n"
        '  proxy_http_version 1.1; proxy_set_header Connection ""; } } }\n'
    )
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)])
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    time.sleep(0.5)
    return Way("nginx", f"http://127.0.0.1:{port}", {}, {"nginx": psutil.Process(process.pid)})


def _network(stack: ExitStack, folder: Path, engine_url: str) -> Way:
    network = Network(folder, stack, database_url=None)
    link = network.ask("POST", "/api/v1/hives/join-links", b"{}")["link"]
    home = folder / "hive"
    enrol(home, parse_join_link(link), name="bench", region="US", slots=SLOTS)
    known = load_config(home)
    text = encode_config(known.coordinator, known.hive)
    attached = AttachedUrl(name="scripted", url=f"{engine_url}/v1", concurrency=SLOTS)
    table = f'\n[[engines]]\nname = "{attached.name}"\nurl = "{attached.url}"\nconcurrency = {SLOTS}\n'
    (home / "hive.toml").write_bytes(text + table.encode())
    network._start("hivemark.hive", "--home", str(home))
    _wait(
        lambda: any(
            model["name"] == MODEL
            for hive in network.ask("GET", "/api/v1/hives")["hives"]
            for model in hive["models"]
        )
    )
    token = network.ask("POST", "/api/v1/api-keys", b'{"name": "bench"}')["token"]
    coordinator, hive = (psutil.Process(process.pid) for process in network.processes)
    return Way(
        "hivemark",
        network.ready["url"],
        {"Authorization": f"Bearer {token}"},
        {"coordinator": coordinator, "hive": hive},
    )


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def cold_start(folder: Path) -> float:
    """Seconds from `hivemark up` in an empty home to the first token of a shipped model."""
    environment = {**os.environ, "HIVEMARK_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "hivemark.cli"]
    began = time.perf_counter()
    subprocess.run(
        [*command, "up", "--listen", "127.0.0.1:0", "--json"],
        env=environment,
        check=True,
        capture_output=True,
    )
    try:
        ready = json.loads((folder / "home" / "run" / "coordinator.json").read_text())
        token = (folder / "home" / "api-key").read_text().strip()
        return asyncio.run(_first_token(ready["url"], token)) - began
    finally:
        subprocess.run([*command, "down"], env=environment, check=True, capture_output=True)


async def _first_token(url: str, token: str) -> float:
    from hivemark.models_shipped import shipped

    body = {"model": shipped()[0].name, "stream": True, "max_tokens": 8}
    body["messages"] = [{"role": "user", "content": "What is 2 + 2?"}]
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
                if response.status == 404:  # the hive has not offered yet
                    await asyncio.sleep(0.02)
                    continue
                async for line in response.content:
                    if b'"content":"' in line.replace(b": ", b":") and b'"content":""' not in line:
                        return time.perf_counter()
                raise AssertionError(f"no token came: {response.status}")


def main() -> None:
    flags = _parse()
    with tempfile.TemporaryDirectory(dir=flags.folder) as name:
        folder = Path(name)
        with ways(folder) as found:
            for way in found:
                asyncio.run(saturated(way, 50, 8))  # warm
            _print_saturated(found, flags.requests)
            for connections in flags.connections:
                _print_paced(found, connections, flags.words)
            for process, kib in asyncio.run(memory(found[-1], 100)).items():
                print(f"memory per open stream, {process}: {kib:.0f} KiB")
        if not flags.skip_cold:
            print(f"cold start from up to first token: {cold_start(folder):.2f} s (aim under 3)")


def _print_saturated(found: list[Way], requests: int) -> None:
    direct = None
    for way in found:
        rate, cpu_ms = asyncio.run(saturated(way, requests, 32))
        direct = direct or rate
        cpu = ", ".join(f"{name} {ms:.2f} ms" for name, ms in cpu_ms.items())
        share = f"{rate:.0f} answers/s, {rate / direct:.2f} of direct"
        print(f"saturated, 32 at once, {way.name}: {share}; CPU {cpu}")


def _print_paced(found: list[Way], connections: int, words: int) -> None:
    direct: Streams | None = None
    for way in found:
        seen = asyncio.run(paced(way, connections, words))
        direct = direct or seen
        middle, added = statistics.median(seen.first_ms), statistics.median(direct.first_ms)
        last, added_last = seen.first(0.99), direct.first(0.99)
        print(
            f"{connections} streams at {TOKENS_PER_S}/s, {way.name}: {seen.rate:.0f} events/s, "
            f"{seen.rate / direct.rate:.3f} of direct; first token p50 {middle:.1f} p99 {last:.1f} ms, "
            f"added p50 {middle - added:.1f} p99 {last - added_last:.1f} ms; CPU per event "
            + ", ".join(f"{name} {us:.0f} µs" for name, us in seen.cpu_us.items())
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--skip-cold", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to put homes (default: the system's)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
