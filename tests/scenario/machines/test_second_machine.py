"""A second machine joins by TLS and works, with outbound connections alone; impostors get no token."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hivemark.api.joinlink import encode_join_link, parse_join_link

from ..calls.conftest import Calls, make_key
from ..faults.conftest import until
from .conftest import CLI, Listening, Machine


async def test_a_second_machine_joins_works_and_opens_no_door(network: Listening, machine: Machine) -> None:
    network.listen(machine.here)
    link = await network.link()
    parsed = parse_join_link(link)
    assert parsed.tls and parsed.host == machine.here and parsed.authority_sha256 is not None
    joined = await asyncio.to_thread(machine.ask, "join", link, "--name", "attic", "--region", "EU")
    async with network.client() as client:

        async def is_linked() -> bool:
            return any(hive.id == joined["hive"] and hive.linked for hive in await client.hives())

        await until(is_linked)
        job = await network.submit(client, questions=3)

        async def is_done() -> bool:
            return (await client.job(job)).state == "completed"

        await until(is_done, timeout_s=60)
        await network.require_sound(client, await client.job(job, executions=True))
    calls = Calls(network, await make_key(network))
    stream = await calls.stream(max_tokens=20)
    assert stream.done, stream.raw
    bundle = await calls.require_output(stream.execution, stream.text)
    assert bundle.spec is not None
    outside = [each for each in machine.listening() if not each.startswith(("127.0.0.1:", "[::1]:"))]
    assert outside == [], "a hive takes no connection from outside"


async def test_other_machines_ask_by_tls(network: Listening, machine: Machine, tmp_path: Path) -> None:
    """An OpenAI client elsewhere needs the authority's file; without it nothing is believed."""
    network.listen(machine.here)
    await network.add_real_hive("first")
    key = await make_key(network)
    assert network.coordinator is not None
    url = network.coordinator.ready["public_url"]
    authority = str(network.home.authority)
    ask = ["curl", "-sS", "-H", f"Authorization: Bearer {key}", f"{url}/v1/models"]
    said = machine.run(*ask, "--cacert", authority)
    assert "hivemark-tiny-a" in said.stdout
    assert "certificate" in machine.run(*ask, code=60).stderr
    plain = machine.run(*[part.replace("https://", "http://") for part in ask], code=None)
    assert key not in plain.stdout and plain.returncode != 0


async def test_an_impostor_gets_no_token(network: Listening, machine: Machine, tmp_path: Path) -> None:
    network.listen(machine.here)
    link = parse_join_link(await network.link())
    impostor = Listening(tmp_path / "impostor")
    (tmp_path / "impostor").mkdir()
    impostor.listen(machine.here)
    try:
        theirs = parse_join_link(await impostor.link())

        led_astray = encode_join_link(dataclasses.replace(link, port=theirs.port))
        refused = await asyncio.to_thread(machine.refused, "join", led_astray)
        assert refused["code"] == "authority_mismatch"
        log = (impostor.home.logs / "coordinator.log").read_text()
        assert link.token not in log and "enrol" not in log
        other_key = encode_join_link(dataclasses.replace(theirs, service_key_sha256=link.service_key_sha256))
        refused = await asyncio.to_thread(machine.refused, "join", other_key)
        assert refused["code"] == "service_key_mismatch"
    finally:
        impostor.stop()
    assert (await asyncio.to_thread(machine.ask, "join", encode_join_link(link)))["hive"]
    refused = await asyncio.to_thread(
        machine.refused, "join", encode_join_link(link), "--home", str(tmp_path / "third")
    )
    assert refused["code"] == "join_token_invalid"


async def test_a_certificate_for_another_name_and_a_plain_port(
    network: Listening, machine: Machine, tmp_path: Path
) -> None:
    network.listen("0.0.0.0")
    link = parse_join_link(await network.link(host=machine.here))

    named = encode_join_link(dataclasses.replace(link, host="elsewhere.example"))
    hosts = Path("/etc/netns") / machine.name
    hosts.mkdir(parents=True)
    try:
        (hosts / "hosts").write_text(f"{machine.here} elsewhere.example\n127.0.0.1 localhost\n")
        refused = await asyncio.to_thread(machine.refused, "join", named)
        assert refused["code"] == "certificate_for_another_name"
    finally:
        (hosts / "hosts").unlink()
        hosts.rmdir()
    assert network.coordinator is not None
    closed = encode_join_link(dataclasses.replace(link, port=urlsplit(network.url).port or 1))
    refused = await asyncio.to_thread(machine.refused, "join", closed)
    assert refused["code"] == "coordinator_unreachable"


def test_the_line_to_paste_is_printed_by_up(tmp_path: Path) -> None:
    """`up --listen` and `hives link` as a person types them; `join` on the loopback stands for the other."""
    home = tmp_path / "home"

    def run(*arguments: str) -> str:
        command = [*CLI, *arguments, "--home", str(home)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        up = run("up", "--listen", "0.0.0.0:0")
        assert "for other machines: https://" in up and "listening on http://127.0.0.1:" in up
        said = run("hives", "link")
        assert "hivemark join 'hivemark://" in said and "&c=" in said
        assert "hivemark://127.0.0.1" in run("hives", "link", "--local")
        assert json.loads(run("status", "--json"))["url"].startswith("http://127.0.0.1:")
    finally:
        run("down")


@pytest.mark.skipif(sys.platform != "linux", reason="NOT RUN: binds addresses of this machine")
def test_no_public_address_without_tls(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hivemark.coordinator", "--home", str(tmp_path), "--listen", "0.0.0.0:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and json.loads(done.stdout)["code"] == "tls_required"
