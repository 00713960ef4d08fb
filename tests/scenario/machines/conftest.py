"""Two machines: this one, and a network namespace behind a wire of its own."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hivemark.cli.programs import Program, start_child

from ..faults.conftest import QUICK, Network

CLI = (sys.executable, "-m", "hivemark.cli")


@dataclass
class Machine:
    """A namespace with one wire to this machine: `here` is this end's address, `there` its own."""

    name: str
    here: str
    there: str
    home: Path
    programs: list[int] = field(default_factory=list)

    def run(self, *command: str, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env={**os.environ, "HIVEMARK_HOME": str(self.home)},
        )
        assert code is None or done.returncode == code, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def ask(self, *arguments: str) -> Any:
        return json.loads(self.run(*CLI, *arguments, "--json").stdout.strip().splitlines()[-1])

    def refused(self, *arguments: str) -> dict[str, Any]:
        """What a command that fails says."""
        done = self.run(*CLI, *arguments, "--json", code=None)
        assert done.returncode != 0, done.stdout
        return dict(json.loads((done.stdout + done.stderr).strip().splitlines()[-1])["error"])

    def listening(self) -> list[str]:
        """Addresses on which anything in the namespace takes connections."""
        lines = self.run("ss", "-H", "-tuln").stdout.splitlines()
        return [line.split()[4] for line in lines if line.split()[1] in ("LISTEN", "UNCONN")]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("ss") is None:
        pytest.skip("NOT RUN: a second machine needs root and iproute2 (ip netns, ss)")
    number = os.getpid() % 200 + 20
    name, near, far = f"hm{os.getpid()}", f"hma{os.getpid() % 10**6}", f"hmb{os.getpid() % 10**6}"
    other = Machine(name, f"10.77.{number}.1", f"10.77.{number}.2", tmp_path / "other")
    ip("netns", "add", name)
    try:
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("link", "set", far, "netns", name)
        ip("addr", "add", f"{other.here}/24", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "addr", "add", f"{other.there}/24", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield other
        other.run(*CLI, "down", code=None)
    finally:
        ip("netns", "delete", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


class Listening(Network):
    """A network whose coordinator serves other machines."""

    def listen(self, address: str) -> None:
        self.home.ensure_folders()
        arguments = ("--listen", "127.0.0.1:0", "--listen-tls", f"{address}:0")
        program = Program("coordinator", "hivemark.coordinator", self.home.root, arguments)
        log = self.home.logs / "coordinator.log"
        self.coordinator = start_child(program, log=log, environment={**os.environ, **QUICK})

    async def link(self, **options: Any) -> str:
        async with self.client() as client:
            return str((await client.join_link(**options)).link)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Listening]:
    running = Listening(tmp_path / "here")
    (tmp_path / "here").mkdir()
    yield running
    running.stop()


__all__ = ["CLI", "Listening", "Machine", "asyncio", "psutil"]
