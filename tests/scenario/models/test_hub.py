"""The hub: a commit is pinned, a digest checked, the token stays with it, no file is chosen for anybody."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import FILE, SIZE, Desk
from .source import ModelServer, Reply, Request, Script, answer_range, serve_file

Serve = Callable[[Script], ModelServer]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MOVED = "fedcba9876543210fedcba9876543210fedcba98"
DIGEST = hashlib.sha256(FILE).hexdigest()
TOKEN = "hf_secretsecretsecret"


def sibling(name: str, *, digest: str | None = DIGEST, size: int = len(FILE)) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": digest, "size": size, "pointerSize": 135}} if digest else {}
    return {"rfilename": name, "size": size, **lfs}


class Hub:
    """The API of one repository, and a store elsewhere that the files are redirected to."""

    def __init__(self, serve: Serve, *siblings: dict[str, Any]) -> None:
        self.siblings = list(siblings)
        self.commit = COMMIT
        self.content = FILE
        self.store = serve(lambda request: answer_range(request, self.content))
        self.api = serve(self._answer)

    def _answer(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        if path.startswith("/api/models/org/repo"):
            body = json.dumps({"id": "org/repo", "sha": self.commit, "siblings": self.siblings}).encode()
            return Reply(200, {"Content-Type": "application/json"}, body)
        if path.startswith(f"/org/repo/resolve/{self.commit}/"):
            return Reply(302, {"Location": f"{self.store.url}/blob/1?signature=abc%2Fdef"})
        return Reply(404)


@pytest.fixture
def with_token(desk: Desk) -> Desk:
    desk.variables["HF_TOKEN"] = TOKEN
    return desk


def point(desk: Desk, hub: Hub) -> None:
    desk.variables["HF_ENDPOINT"] = hub.api.url


def test_the_only_file_is_pulled_pinned_and_checked_and_the_token_stays_with_the_hub(
    with_token: Desk, serve: Serve
) -> None:
    desk, hub = with_token, Hub(serve, sibling("Repo-Q8_0.gguf"), {"rfilename": "README.md", "size": 3})
    point(desk, hub)
    told = desk.run("models", "pull", "hf:org/repo")
    shown = desk.ask("models", "show", "repo-q8_0")
    assert (shown["commit"], shown["sha256"]) == (COMMIT, DIGEST)
    assert shown["origin"] == f"hf:org/repo@{COMMIT}:Repo-Q8_0.gguf"
    assert {request.headers.get("authorization") for request in hub.api.requests} == {f"Bearer {TOKEN}"}
    (fetched,) = hub.store.requests
    assert "authorization" not in fetched.headers
    assert fetched.path == "/blob/1?signature=abc%2Fdef"
    kept = b"".join(path.read_bytes() for path in desk.models.glob("*.json"))
    assert TOKEN not in told and TOKEN.encode() not in kept and b"signature" not in kept


def test_the_same_commit_is_not_fetched_again_and_a_moved_one_needs_a_name(desk: Desk, serve: Serve) -> None:
    hub = Hub(serve, sibling("m.gguf"))
    point(desk, hub)
    desk.pull("hf:org/repo")
    assert desk.pull("hf:org/repo@main:m.gguf")["was_here"] is True
    assert len(hub.store.requests) == 1
    hub.commit, hub.content = MOVED, FILE + b"new!"
    hub.siblings = [sibling("m.gguf", digest=hashlib.sha256(hub.content).hexdigest(), size=len(hub.content))]
    refused = desk.refused("hf:org/repo")
    assert refused["code"] == "model_name_taken" and COMMIT in refused["message"]
    assert desk.pull("hf:org/repo", "--name", "newer")["commit"] == MOVED


def test_several_files_are_listed_with_sizes_and_one_suggestion(desk: Desk, serve: Serve) -> None:
    names = ["m-IQ2_M.gguf", "m-Q4_0.gguf", "m-Q8_0.gguf", "mmproj-f16.gguf", "big-00001-of-00002.gguf"]
    hub = Hub(serve, *(sibling(name) for name in names))
    point(desk, hub)
    refused = desk.refused("hf:org/repo")
    assert refused["code"] == "file_not_chosen"
    assert f"m-Q4_0.gguf ({SIZE})" in refused["message"] and "mmproj" not in refused["message"]
    assert refused["next"] == "hivemark models pull 'hf:org/repo:m-Q8_0.gguf'"
    assert desk.refused("hf:org/repo:Q5_K_M")["code"] == "source_not_found"
    assert desk.refused("hf:org/repo:big-00001-of-00002.gguf")["code"] == "model_split"
    assert desk.pull("hf:org/repo:q8_0")["name"] == "m-q8_0"


def test_a_file_name_that_says_nothing_takes_the_repository_s(desk: Desk, serve: Serve) -> None:
    hub = Hub(serve, sibling("model.gguf"))
    point(desk, hub)
    assert desk.pull("hf:org/repo")["name"] == "repo"


def test_what_was_stopped_at_another_commit_is_not_mixed_in(desk: Desk, serve: Serve) -> None:
    hub = Hub(serve, sibling("m.gguf"))
    point(desk, hub)
    hub.store.script = lambda request: Reply(200, {"ETag": '"v1"'}, FILE, 500_000)
    assert desk.refused("hf:org/repo", "--tries", "1")["code"] == "download_interrupted"
    hub.commit, hub.content = MOVED, FILE[:-1] + b"!"
    hub.siblings = [sibling("m.gguf", digest=hashlib.sha256(hub.content).hexdigest())]
    hub.store.script = serve_file(hub.content)
    assert "part of another file or version" in desk.run("models", "pull", "hf:org/repo")
    assert (desk.models / "m.gguf").read_bytes() == hub.content


def test_a_store_that_holds_another_file_than_the_hub_says_is_refused(desk: Desk, serve: Serve) -> None:
    hub = Hub(serve, sibling("m.gguf"))
    point(desk, hub)
    hub.content = FILE[:-1] + b"!"
    assert desk.refused("hf:org/repo", code=3)["code"] == "digest_mismatch"
    hub.content = FILE + b"!"
    assert desk.refused("hf:org/repo")["code"] == "size_mismatch"
    fetched = len(hub.store.requests)
    assert desk.refused("hf:org/repo", "--sha256", "ab" * 32, code=3)["code"] == "digest_mismatch"
    assert len(hub.store.requests) == fetched
    assert desk.names() == []


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}), "source_not_admitted"),
        (Reply(404), "source_not_found"),
        (Reply(200, {"Content-Type": "text/html"}, b"<html>log in"), "hub_answer_malformed"),
        (Reply(200, {}, b'{"sha": "main", "siblings": []}'), "hub_answer_malformed"),
        (Reply(200, {}, b'{"sha": "' + COMMIT.encode() + b'", "siblings": []}'), "no_gguf_file"),
        (Reply(503), "source_unavailable"),
    ],
    ids=["gated", "missing", "html", "no_commit", "no_file", "down"],
)
def test_a_hub_that_gives_nothing_says_why_and_what_to_do(
    desk: Desk, serve: Serve, reply: Reply, code: str
) -> None:
    desk.variables["HF_ENDPOINT"] = serve(lambda request: reply).url
    refused = desk.refused("hf:org/repo", "--tries", "2")
    assert (refused["code"], desk.names()) == (code, [])
    assert refused["next"]


def test_without_a_token_the_advice_is_to_set_one_and_with_one_to_accept_the_terms(
    desk: Desk, serve: Serve
) -> None:
    desk.variables["HF_ENDPOINT"] = serve(lambda request: Reply(403)).url
    assert "HF_TOKEN" in desk.refused("hf:org/repo")["next"]
    desk.variables["HF_TOKEN"] = TOKEN
    refused = desk.refused("hf:org/repo")
    assert "accept the terms" in refused["next"] and TOKEN not in json.dumps(refused)
    desk.variables["HF_TOKEN"] = "two words"
    refused = desk.refused("hf:org/repo")
    assert refused["code"] == "token_malformed" and "two words" not in json.dumps(refused)


def test_a_hub_on_another_machine_needs_tls(desk: Desk) -> None:
    desk.variables["HF_ENDPOINT"] = "http://192.0.2.1"
    assert desk.refused("hf:org/repo")["code"] == "tls_required"
