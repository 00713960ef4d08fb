"""Where a model comes from, as a person types it, and the short name it gets here.

hf:org/repo[@revision][:file]     a file of a repository on the Hugging Face hub
https://host/path/model.gguf      a file at an address; http:// on loopback only
file:/path/model.gguf             a file of this machine or of a disk at it
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

from yarl import URL

from hivemark.api.joinlink import is_loopback
from hivemark.errors import ForbiddenError, InvalidError

TEXT_CHARS_MAX: Final = 4_096
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HUB: Final = re.compile(
    r"hf:(?P<repo>[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95})"
    r"(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,199}))?"
    r"(?::(?P<file>.{1,512}))?"
)
_NO_NAME: Final = re.compile(r"(ggml-)?model([._-]|$)|ggml([._-]|$)")  # file names that say nothing
FORMS: Final = "hf:org/repo[:file], https://host/model.gguf or file:/path/model.gguf"


@dataclass(frozen=True, slots=True)
class HubSource:
    """`file` is a path inside the repository, or a part of one file's name such as `Q8_0`."""

    repo: str
    revision: str | None
    file: str | None


@dataclass(frozen=True, slots=True)
class UrlSource:
    """An address without user, password and fragment."""

    url: URL


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file that lies here."""

    path: Path


Source: TypeAlias = HubSource | UrlSource | FileSource


@dataclass(frozen=True, slots=True)
class Target:
    """One file to fetch. `origin` names exactly this file (with the commit where there is one) and no secret;
    `size_bytes` and `sha256` are what the source promises, None where it promises nothing."""

    origin: str
    place: URL | Path
    file_name: str
    repo: str | None = None
    commit: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None


def parse_source(text: str) -> Source:
    """Raises `InvalidError` code `source_malformed`, or what `require_transport` raises."""
    if len(text) > TEXT_CHARS_MAX or not text.isprintable():
        raise _malformed("it is too long, or holds characters that cannot be printed")
    if text.startswith("hf:"):
        return _hub_source(text)
    if text.startswith(("https://", "http://")):
        return _url_source(text)
    if text.startswith("file:"):
        path = Path(text.removeprefix("file://").removeprefix("file:")).expanduser()
        return FileSource(Path.cwd() / path)
    if Path(text).exists():
        raise _malformed("this is a path", hint=f"hivemark models pull file:{text}")
    raise _malformed(f"a model is named by where it lies: {FORMS}")


def target_of(source: UrlSource | FileSource) -> Target:
    """What is fetched from an address or a file; a query may be secret, so its digest stands for it."""
    if isinstance(source, FileSource):
        return Target(origin=f"file:{source.path}", place=source.path, file_name=source.path.name)
    url = source.url
    query = (
        f"?sha256:{sha256(url.raw_query_string.encode()).hexdigest()[:16]}" if url.raw_query_string else ""
    )
    return Target(origin=f"{url.with_query(None)}{query}", place=url, file_name=url.name)


def name_of(target: Target) -> str:
    """A short name made of the file's; of the repository's too where the file's says nothing."""
    stem = re.sub(r"\.gguf$", "", PurePosixPath(target.file_name).name, flags=re.IGNORECASE).lower()
    if target.repo is not None and _NO_NAME.match(stem):
        repo = re.sub(r"[._-]gguf$", "", target.repo.rpartition("/")[2].lower())
        stem = f"{repo}-{_NO_NAME.sub('', stem)}"
    name = re.sub(r"[^a-z0-9._-]+", "-", stem).strip("._-")[:100]
    return name or "model"


def require_name(name: str) -> str:
    """A name that can be a file's; raises `InvalidError` code `model_name_malformed`."""
    if NAME.fullmatch(name) is None:
        raise InvalidError(
            "a name has up to 100 letters, digits, dots, dashes and underscores, the first a letter or digit",
            code="model_name_malformed",
            field="name",
        )
    return name


def require_transport(url: URL) -> None:
    """TLS, or this machine; raises `ForbiddenError` code `tls_required`."""
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host or "")):
        raise ForbiddenError(
            f"{url.scheme}://{url.host} could be read and changed on the way",
            code="tls_required",
            hint="use https://; http:// is for addresses of this machine only",
        )


def _hub_source(text: str) -> HubSource:
    found = _HUB.fullmatch(text)
    if found is None:
        raise _malformed("expected hf:org/repo[@revision][:file]")
    file = found["file"]
    if file is not None and (file.startswith("/") or ".." in PurePosixPath(file).parts):
        raise _malformed("the file is a path inside the repository")
    return HubSource(found["repo"], found["revision"], file)


def _url_source(text: str) -> UrlSource:
    try:
        url = URL(text)
    except ValueError as error:
        raise _malformed(str(error)) from error
    if not url.host or not url.name:
        raise _malformed("expected https://host/path/model.gguf")
    if url.user is not None or url.password is not None:
        raise _malformed("an address with a password in it would end up in lists and logs; leave it out")
    require_transport(url)
    return UrlSource(url.with_fragment(None))


def _malformed(reason: str, *, hint: str | None = None) -> InvalidError:
    return InvalidError(
        f"this names no model: {reason}",
        code="source_malformed",
        hint=hint or "hivemark models pull hf:org/repo:file, https://… or file:…",
    )
