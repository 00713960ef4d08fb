"""Pulling a model: what was promised is what is here, whatever happens on the way."""

import hashlib
import json
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hivemark.models_shipped import shipped

from .conftest import FILE, SIZE, Desk, kill
from .source import ModelServer, Reply, Request, Script, answer_range, in_turn, serve_file

Serve = Callable[[Script], ModelServer]
DIGEST = hashlib.sha256(FILE).hexdigest()
HALF = 30 * 65_536
OTHER = bytearray(FILE)
OTHER[-5000] ^= 1


def test_a_model_is_pulled_verified_listed_shown_and_removed(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(FILE))
    pulled = desk.pull(f"{server.url}/dir/My%20Model.Q8_0.gguf?key=secret", "--sha256", DIGEST)
    assert (pulled["name"], pulled["sha256"], pulled["size_bytes"]) == ("my-model.q8_0", DIGEST, len(FILE))
    assert "secret" not in json.dumps(pulled)
    assert desk.names() == ["my-model.q8_0.gguf", "my-model.q8_0.gguf.json"]
    assert (desk.models / "my-model.q8_0.gguf").read_bytes() == FILE
    shown = desk.ask("models", "show", "my-model.q8_0")
    facts = shown["facts"]
    assert (facts["architecture"], facts["quantisation"], facts["refusal"]) == ("llama", "q8_0", None)
    assert facts["context_tokens"] == shipped()[0].context_tokens and len(facts["template_sha256"]) == 64
    listed = desk.ask("models", "ls", "--here")
    assert [each["name"] for each in listed["here"]] == [*(m.name for m in shipped()), "my-model.q8_0"]
    assert listed["offered"] is None
    assert f"{SIZE} are free again" in desk.run("models", "rm", "my-model.q8_0")
    assert desk.names() == []


def test_what_is_here_is_not_fetched_again(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(FILE))
    desk.pull(f"{server.url}/m.gguf")
    asked = len(server.requests)
    assert desk.pull(f"{server.url}/m.gguf")["was_here"] is True
    assert len(server.requests) == asked
    assert desk.refused(f"{server.url}/other/m.gguf")["code"] == "model_name_taken"
    assert desk.pull(f"{server.url}/other/n.gguf")["name"] == "m"  # the same bytes
    assert desk.refused(f"{server.url}/other/n.gguf", "--name", "n")["code"] == "model_present"
    assert desk.names() == ["m.gguf", "m.gguf.json"]


def test_a_killed_pull_goes_on_with_only_what_is_missing(desk: Desk, serve: Serve) -> None:
    server = serve(in_turn(lambda r: Reply(200, {"ETag": '"v1"'}, FILE, HALF, True), serve_file(FILE)))
    process = desk.start("models", "pull", f"{server.url}/m.gguf")
    server.wait_until_sent(HALF)
    part = desk.models / "m.gguf.part"
    while not part.exists() or part.stat().st_size < HALF:
        assert process.poll() is None
    kill(process)
    assert desk.names() == ["m.gguf.part", "m.gguf.part.json"]
    (unfinished,) = desk.ask("models", "ls", "--here")["unfinished"]
    assert (unfinished["bytes"], unfinished["total_bytes"]) == (HALF, len(FILE))
    assert desk.pull(f"{server.url}/m.gguf")["sha256"] == DIGEST
    assert server.sent_bytes == len(FILE)
    again = server.requests[-1].headers
    assert (again["range"], again["if-range"]) == (f"bytes={HALF}-", '"v1"')


def test_ctrl_c_keeps_what_is_here_and_says_how_to_go_on(desk: Desk, serve: Serve) -> None:
    server = serve(lambda r: Reply(200, {"ETag": '"v1"'}, FILE, HALF, True))
    process = desk.start("models", "pull", f"{server.url}/m.gguf")
    part = desk.models / "m.gguf.part"
    while not part.exists() or part.stat().st_size < HALF:
        assert process.poll() is None
    out, _ = kill(process, signal.SIGINT)
    assert process.returncode == 130
    assert f"next: hivemark models pull {server.url}/m.gguf (goes on from there)" in out
    assert part.stat().st_size == HALF


def test_a_stalled_server_is_asked_again_for_the_rest(desk: Desk, serve: Serve) -> None:
    server = serve(in_turn(lambda r: Reply(200, {"ETag": '"v1"'}, FILE, HALF, True), serve_file(FILE)))
    told = desk.run("models", "pull", f"{server.url}/m.gguf", "--stall-s", "0.5")
    assert "no byte from 127.0.0.1 for 0.5 s" in told
    assert server.sent_bytes == len(FILE)


def test_a_truncated_body_is_noticed_and_gone_on_with(desk: Desk, serve: Serve) -> None:
    cut = in_turn(lambda r: Reply(200, {"ETag": '"v1"'}, FILE, HALF), serve_file(FILE))
    server = serve(cut)
    assert desk.pull(f"{server.url}/m.gguf")["sha256"] == DIGEST
    assert server.sent_bytes == len(FILE)


def test_a_server_that_never_finishes_is_given_up_and_the_part_is_kept(desk: Desk, serve: Serve) -> None:
    def lie(request: Request) -> Reply:  # promises a kilobyte more than there ever is
        reply = answer_range(request, FILE + bytes(1024))
        reply.send = max(0, len(FILE) - (request.first or 0))
        return reply

    server = serve(lie)
    refused = desk.refused(f"{server.url}/m.gguf", "--tries", "2")
    assert refused["kind"] == "unavailable" and "are kept" in refused["message"]
    assert (desk.models / "m.gguf.part").stat().st_size == len(FILE)


@pytest.mark.parametrize("says_changed", [True, False], ids=["keeps_to_the_rules", "ignores_if_range"])
def test_a_file_that_changed_midway_starts_over_and_never_mixes(
    desk: Desk, serve: Serve, says_changed: bool
) -> None:
    def changed(request: Request) -> Reply:
        if says_changed:
            return answer_range(request, bytes(OTHER), etag='"v2"')
        headers = {**request.headers, "if-range": '"v2"'}
        return answer_range(Request(request.method, request.path, headers), bytes(OTHER), etag='"v2"')

    server = serve(in_turn(lambda r: Reply(200, {"ETag": '"v1"'}, FILE, HALF), changed))
    told = desk.run("models", "pull", f"{server.url}/m.gguf")
    assert "starting over: the file at the server changed" in told
    assert (desk.models / "m.gguf").read_bytes() == bytes(OTHER)


def test_a_server_that_ignores_ranges_starts_over(desk: Desk, serve: Serve) -> None:
    headers = {"ETag": '"v1"'}
    server = serve(in_turn(lambda r: Reply(200, headers, FILE, HALF), lambda r: Reply(200, headers, FILE)))
    told = desk.run("models", "pull", f"{server.url}/m.gguf")
    assert "starting over: the server cannot resume" in told
    assert (desk.models / "m.gguf").read_bytes() == FILE


def test_without_version_and_digest_nothing_is_gone_on_with(desk: Desk, serve: Serve) -> None:
    server = serve(lambda r: Reply(200, {}, FILE, HALF))
    refused = desk.refused(f"{server.url}/m.gguf", "--tries", "1")
    assert refused["code"] == "download_interrupted"
    server.script = serve_file(FILE)
    told = desk.run("models", "pull", f"{server.url}/m.gguf")
    assert "neither a digest nor a version" in told
    assert server.requests[-1].first is None


def test_a_length_that_is_too_short_leaves_no_model(desk: Desk, serve: Serve) -> None:
    server = serve(lambda r: Reply(200, {"Content-Length": str(HALF)}, FILE))
    refused = desk.refused(f"{server.url}/m.gguf")
    assert (refused["code"], desk.names()) == ("gguf_malformed", [])
    assert "cut off" in refused["next"]


def test_a_body_that_is_too_long_is_cut_off(desk: Desk, serve: Serve) -> None:
    short = 65_536
    endless = f"{len(FILE):x}\r\n".encode() + FILE + b"\r\n0\r\n\r\n"
    span = {"Content-Range": f"bytes 1024-{short - 1}/{short}", "ETag": '"v1"'}
    chunked = {"Content-Length": "", "Transfer-Encoding": "chunked"}
    server = serve(
        in_turn(
            lambda r: Reply(200, {"ETag": '"v1"'}, FILE[:short], 1024),
            lambda r: Reply(206, {**span, **chunked}, endless),
        )
    )
    refused = desk.refused(f"{server.url}/m.gguf")
    assert refused["code"] == "body_too_long"
    assert (desk.models / "m.gguf.part").stat().st_size == short


def test_another_digest_than_was_asked_for_is_refused_and_removed(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(bytes(OTHER)))
    refused = desk.refused(f"{server.url}/m.gguf", "--sha256", DIGEST, code=3)
    assert (refused["code"], desk.names()) == ("digest_mismatch", [])


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(200, {"Content-Type": "text/html"}, b"<!doctype html><h1>log in</h1>"), "not_gguf"),
        (Reply(200, {}, b"PK\x03\x04 no model"), "not_gguf"),
        (Reply(200, {}, b"GGUF" + b"\xff" * 200), "gguf_version"),
        (Reply(200, {}, FILE[:8] + b"\xff" * 16 + FILE[24:]), "gguf_malformed"),
        (Reply(200, {"Content-Encoding": "gzip"}, FILE), "encoding_unasked"),
        (Reply(401), "source_not_admitted"),
        (Reply(403), "source_not_admitted"),
        (Reply(404), "source_not_found"),
        (Reply(418), "source_refused"),
        (Reply(429, {"Retry-After": "0"}), "source_busy"),
        (Reply(503), "source_unavailable"),
        (Reply(302, {"Location": "/again.gguf"}), "too_many_redirects"),
        (Reply(302), "redirect_invalid"),
        (Reply(302, {"Location": "file:///etc/passwd"}), "redirect_invalid"),
        (Reply(302, {"Location": "http://192.0.2.1/m.gguf"}), "tls_required"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
def test_what_is_no_model_is_refused_by_name_and_leaves_nothing(
    desk: Desk, serve: Serve, reply: Reply, code: str
) -> None:
    server = serve(lambda r: reply)
    refused = desk.refused(f"{server.url}/m.gguf", "--tries", "2")
    assert (refused["code"], desk.names()) == (code, [])
    assert refused["next"] or code in ("encoding_unasked", "source_refused", "redirect_invalid")


def test_a_busy_server_is_asked_again(desk: Desk, serve: Serve) -> None:
    server = serve(in_turn(lambda r: Reply(503), lambda r: Reply(429), serve_file(FILE)))
    told = desk.run("models", "pull", f"{server.url}/m.gguf")
    assert "answered 503" in told and "answered 429" in told
    assert len(server.requests) == 3


def test_nobody_there_says_so(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(FILE))
    server.close()
    assert desk.refused(f"{server.url}/m.gguf", "--tries", "2")["code"] == "source_unreachable"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("http://192.0.2.1/m.gguf", "tls_required"),
        ("https://user:pw@example.org/m.gguf", "source_malformed"),
        ("https://example.org/", "source_malformed"),
        ("hf:only-a-name", "source_malformed"),
        ("hf:org/repo:../../etc/passwd", "source_malformed"),
        ("llama3", "source_malformed"),
        ("file:/does/not/exist.gguf", "model_file"),
    ],
)
def test_a_source_that_cannot_be_is_refused_before_anything_is_asked(
    desk: Desk, source: str, code: str
) -> None:
    refused = desk.refused(source)
    assert refused["code"] == code
    assert "pw" not in refused["message"]


def test_a_second_pull_of_the_same_name_is_refused_and_a_crash_lets_go(desk: Desk, serve: Serve) -> None:
    server = serve(in_turn(lambda r: Reply(200, {"ETag": '"v1"'}, FILE, HALF, True), serve_file(FILE)))
    process = desk.start("models", "pull", f"{server.url}/m.gguf")
    server.wait_until_sent(HALF)
    refused = desk.refused(f"{server.url}/m.gguf")
    assert refused["code"] == "pull_running"
    assert desk.ask("models", "rm", "m", code=1)["error"]["code"] == "pull_running"
    kill(process)
    assert desk.pull(f"{server.url}/m.gguf")["sha256"] == DIGEST


def test_a_file_of_this_machine_is_taken_over(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "Own.gguf").write_bytes(FILE)
    assert desk.pull(f"file:{tmp_path}/Own.gguf")["sha256"] == DIGEST
    (tmp_path / "cut.gguf").write_bytes(FILE[:HALF])
    assert desk.refused(f"file:{tmp_path}/cut.gguf")["code"] == "gguf_malformed"
    assert desk.names() == ["own.gguf", "own.gguf.json"]


def test_a_kill_before_the_record_is_made_good_by_the_next_pull(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(FILE))
    desk.pull(f"{server.url}/m.gguf")
    note = {"origin": f"{server.url}/m.gguf", "validator": '"v1"', "total_bytes": len(FILE)}
    (desk.models / "m.gguf.json").unlink()  # as if the record had not been written yet
    (desk.models / "m.gguf.part.json").write_text(json.dumps({**note, "booted": psutil.boot_time()}))
    sent = server.sent_bytes
    assert desk.pull(f"{server.url}/m.gguf")["sha256"] == DIGEST
    assert server.sent_bytes == sent
    assert desk.names() == ["m.gguf", "m.gguf.json"]


def test_a_file_that_nobody_pulled_is_not_overwritten(desk: Desk, serve: Serve) -> None:
    desk.models.mkdir(parents=True)
    (desk.models / "m.gguf").write_bytes(b"mine")
    server = serve(serve_file(FILE))
    assert desk.refused(f"{server.url}/m.gguf")["code"] == "file_in_the_way"
    assert (desk.models / "m.gguf").read_bytes() == b"mine"


def test_names_of_other_models_are_taken(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(FILE))
    refused = desk.refused(f"{server.url}/m.gguf", "--name", shipped()[0].name.upper())
    assert refused["code"] == "model_name_taken"
    assert desk.ask("models", "rm", shipped()[0].name, code=1)["error"]["code"] == "model_not_pulled"
    assert desk.ask("models", "rm", "nothing", code=1)["error"]["code"] == "model_not_here"
    assert desk.refused(f"{server.url}/m.gguf", "--name", "../x")["code"] == "model_name_malformed"


def test_a_file_that_somebody_changed_or_took_away_is_not_called_here(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(FILE))
    desk.pull(f"{server.url}/m.gguf")
    with (desk.models / "m.gguf").open("ab") as file:
        file.write(b"!")
    assert desk.refused(f"{server.url}/m.gguf")["code"] == "model_damaged"
    (desk.models / "m.gguf").unlink()
    refused = desk.refused(f"{server.url}/m.gguf")
    assert refused["code"] == "model_damaged" and "models rm m" in refused["next"]
    desk.run("models", "rm", "m")
    assert desk.pull(f"{server.url}/m.gguf")["was_here"] is False


def test_a_damaged_record_is_listed_and_can_be_removed(desk: Desk, serve: Serve) -> None:
    server = serve(serve_file(FILE))
    desk.pull(f"{server.url}/m.gguf")
    (desk.models / "m.gguf.json").write_bytes(b"{")
    (damaged,) = [each for each in desk.ask("models", "ls", "--here")["here"] if each["name"] == "m"]
    assert "cannot be read" in damaged["problem"]
    assert desk.refused(f"{server.url}/m.gguf")["code"] == "model_name_taken"
    desk.run("models", "rm", "m")
    assert desk.pull(f"{server.url}/m.gguf")["sha256"] == DIGEST
