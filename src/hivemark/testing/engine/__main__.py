"""Start the scripted engine: alone on a port, or as a worker under a supervisor (docs/spec/worker.md)."""

import argparse
import asyncio
import hashlib
import json
import os
import socket
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvicorn

from hivemark.testing.engine.app import EngineState, build_app
from hivemark.testing.engine.script import VOCABULARY, Script, apply_members


def main() -> None:
    """Parse flags, load as told, announce readiness in one JSON line on stdout, serve until stopped."""
    flags = _parse_flags()
    start = _read_start_line() if flags.worker else {}
    name = start.get("model_name") or flags.model
    if flags.load_delay_s:
        _say({"event": "loading", "bytes_total": 0})
        time.sleep(flags.load_delay_s)
    if flags.garbage_start:
        print("this is not the start protocol", flush=True)
    if flags.fail_load:
        _say({"event": "failed", "code": "load_failed", "message": "the script says so"})
        sys.exit(1)
    digest = flags.weights_sha256 or _digest_of(start.get("model_path"), name)
    state = EngineState(
        model=_model_info(name, digest),
        engine=_engine_info(),
        token=start.get("token") or flags.token,
        script=apply_members(Script(), json.loads(flags.script)),
        count_file=flags.count_file,
    )
    asyncio.run(_serve(state, flags.port))


async def _serve(state: EngineState, port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    config = uvicorn.Config(build_app(state), log_level="warning", access_log=False, lifespan="off")
    serving = asyncio.create_task(uvicorn.Server(config).serve(sockets=[listener]))
    _say({"event": "ready", "port": listener.getsockname()[1], "model": state.model, "engine": state.engine})
    await serving


def _read_start_line() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        sys.exit(1)
    threading.Thread(target=_exit_with_parent, name="parent-watchdog", daemon=True).start()
    start: dict[str, Any] = json.loads(line)
    return start


def _exit_with_parent() -> None:
    # The raw descriptor: a daemon thread blocked in sys.stdin's lock would abort interpreter shutdown.
    while os.read(0, 4096):
        pass
    os._exit(0)


def _digest_of(path: str | None, name: str) -> str:
    """The digest of the model file where there is one, else one made from the name."""
    if path and Path(path).is_file():
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return hashlib.sha256(name.encode()).hexdigest()


def _model_info(name: str, digest: str) -> dict[str, Any]:
    return {
        "name": name,
        "architecture": "scripted",
        "weights_sha256": digest,
        "tokenizer_sha256": hashlib.sha256(b"scripted tokenizer").hexdigest(),
        "template_sha256": hashlib.sha256(b"scripted template").hexdigest(),
        "quantisation": None,
        "context_tokens": 4096,
        "parameters": 0,
        "vocabulary": VOCABULARY,
        "bytes": 0,
    }


def _engine_info() -> dict[str, Any]:
    return {
        "name": "scripted",
        "version": version("hivemark"),
        "build": "scripted",
        "backend": "none",
        "dtype": "none",
        "architecture": os.uname().machine,
        "threads": 1,
    }


def _say(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


def _parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hivemark.testing.engine", description=__doc__)
    parser.add_argument("--worker", action="store_true", help="start line on stdin, ends with it")
    parser.add_argument("--port", type=int, default=0, help="0: the system chooses (default)")
    parser.add_argument("--model", default="scripted", help="name of the model it pretends to serve")
    parser.add_argument("--weights-sha256", help="the digest it tells; default: of the file, or of the name")
    parser.add_argument("--token", help="bearer token it asks for when it stands alone")
    parser.add_argument("--script", default="{}", help='members as JSON: {"token_delay_s": 0.1}')
    parser.add_argument("--count-file", type=Path, help="count the faults met here, over restarts")
    parser.add_argument("--load-delay-s", type=float, default=0.0, help="seconds until it is ready")
    parser.add_argument("--fail-load", action="store_true", help="fail to load")
    parser.add_argument("--garbage-start", action="store_true", help="break the start protocol")
    return parser.parse_args()


if __name__ == "__main__":
    main()
