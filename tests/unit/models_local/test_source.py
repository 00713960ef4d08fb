"""Sources as people type them, and the names that are made of them."""

from pathlib import Path

import pytest
from yarl import URL

from hivemark.errors import ForbiddenError, InvalidError
from hivemark.models_local.source import (
    FileSource,
    HubSource,
    Target,
    UrlSource,
    name_of,
    parse_source,
    require_name,
    target_of,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:org/repo", HubSource("org/repo", None, None)),
        ("hf:org/repo:sub/m.gguf", HubSource("org/repo", None, "sub/m.gguf")),
        ("hf:o-1/r.2@refs/pr/1:Q8_0", HubSource("o-1/r.2", "refs/pr/1", "Q8_0")),
        ("https://h.example/a/m.gguf#x", UrlSource(URL("https://h.example/a/m.gguf"))),
        ("http://127.0.0.1:8/m.gguf", UrlSource(URL("http://127.0.0.1:8/m.gguf"))),
        ("http://[::1]:8/m.gguf", UrlSource(URL("http://[::1]:8/m.gguf"))),
        ("file:/a/m.gguf", FileSource(Path("/a/m.gguf"))),
        ("file:///a/m.gguf", FileSource(Path("/a/m.gguf"))),
        ("file:m.gguf", FileSource(Path.cwd() / "m.gguf")),
    ],
)
def test_every_form_is_read(text: str, source: object) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf:",
        "hf:a",
        "hf:a/b/c",
        "hf:../b",
        "hf:a/b:",
        "hf:a/b:/etc/passwd",
        "hf:a/b:x/../../y",
        "hf:a/b@",
        "https://",
        "https://h.example",
        "https://me@h.example/m.gguf",
        "https://h.example:99999/m.gguf",
        "ftp://h.example/m.gguf",
        "https://h.example/\x1b[2Jm.gguf",
        "https://h.example/" + "m" * 5000,
    ],
)
def test_anything_else_is_refused_with_a_way_on(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse_source(text)
    assert refused.value.code == "source_malformed" and refused.value.hint


def test_a_path_without_file_gets_the_advice_to_say_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    with pytest.raises(InvalidError) as refused:
        parse_source(f"{tmp_path}/m.gguf")
    assert refused.value.hint == f"hivemark models pull file:{tmp_path}/m.gguf"


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "example.org", "127.0.0.1.example.org", "localhost.example.org"]
)
def test_plain_http_is_for_this_machine_only(host: str) -> None:
    with pytest.raises(ForbiddenError):
        parse_source(f"http://{host}/m.gguf")


def test_a_query_tells_files_apart_without_being_shown() -> None:
    one, other = (
        target_of(UrlSource(URL(f"https://h.example/download?key={key}"))) for key in ("secret-1", "secret-2")
    )
    assert one.origin != other.origin and "secret" not in one.origin
    assert str(one.place).endswith("secret-1")


@pytest.mark.parametrize(
    ("file", "repo", "name"),
    [
        ("Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", None, "qwen2.5-0.5b-instruct-q4_k_m"),
        ("sub/dir/M.GGUF", None, "m"),
        ("model.gguf", "Org/Small-Chat-GGUF", "small-chat"),
        ("ggml-model-q4_0.gguf", "org/small", "small-q4_0"),
        ("model-q8_0.gguf", "org/small", "small-q8_0"),
        ("modelling.gguf", "org/small", "modelling"),
        ("..\u202e 漢字 weird!.gguf", None, "weird"),
        ("漢字.gguf", None, "model"),
        ("m" * 300 + ".gguf", None, "m" * 100),
    ],
)
def test_names_are_short_and_plain(file: str, repo: str | None, name: str) -> None:
    made = name_of(Target(origin="x", place=Path(file), file_name=file, repo=repo))
    assert made == name
    assert require_name(made) == made


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "a b", "x" * 101, "a\n"])
def test_a_name_that_cannot_be_a_file_s_is_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        require_name(name)
