"""Which file of a repository on the Hugging Face hub is meant, with the commit and the digest it tells."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import msgspec
from yarl import URL

from hivemark.errors import BadUpstreamError, InvalidError, NotFoundError, TooLargeError
from hivemark.models_local.files import size
from hivemark.models_local.source import HubSource, Target
from hivemark.models_local.web import Web

ANSWER_BYTES_MAX: Final = 16 * 1_048_576
LISTED_MAX: Final = 40
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SPLIT: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_COMPANION: Final = re.compile(r"(^|[/._-])(mmproj|imatrix)", re.IGNORECASE)  # no model by itself


class _Lfs(msgspec.Struct):
    sha256: str | None = None
    size: int | None = None


class _Sibling(msgspec.Struct):
    rfilename: str
    size: int | None = None
    lfs: _Lfs | None = None


class _Repository(msgspec.Struct):
    sha: str
    siblings: list[_Sibling] = []


@dataclass(frozen=True, slots=True)
class HubFile:
    """One GGUF file of a repository."""

    path: str
    size_bytes: int | None
    sha256: str | None


async def resolve(web: Web, source: HubSource, *, preferred: Sequence[str]) -> Target:
    """The file that `source` means, pinned to a commit.

    Raises `NotFoundError` when the repository or the file does not exist, and `InvalidError` code
    `file_not_chosen` with the choices when several would do: none is chosen for anybody. `preferred` are
    quantisations in the order in which one is suggested.
    """
    repository = await _repository(web, source)
    files = [
        _hub_file(sibling) for sibling in repository.siblings if sibling.rfilename.lower().endswith(".gguf")
    ]
    chosen = _choose(source, files, preferred)
    if _SPLIT.search(chosen.path):
        raise InvalidError(
            f"{chosen.path} is one part of several", code="model_split", hint="choose a file that is whole"
        )
    place = f"{str(web.hub.url).rstrip('/')}/{source.repo}/resolve/{repository.sha}/{quote(chosen.path)}"
    return Target(
        origin=f"hf:{source.repo}@{repository.sha}:{chosen.path}",
        place=URL(place, encoded=True),
        file_name=chosen.path,
        repo=source.repo,
        commit=repository.sha,
        size_bytes=chosen.size_bytes,
        sha256=chosen.sha256,
    )


async def _repository(web: Web, source: HubSource) -> _Repository:
    revision = f"/revision/{quote(source.revision, safe='')}" if source.revision else ""
    url = URL(f"{str(web.hub.url).rstrip('/')}/api/models/{source.repo}{revision}?blobs=true", encoded=True)
    async with web.get(url) as got:
        raw = bytearray()
        async for portion in got.content.iter_any():
            raw += portion
            if len(raw) > ANSWER_BYTES_MAX:
                raise TooLargeError("the hub's answer is over the limit", code="answer_too_large")
    try:
        answer = msgspec.json.decode(raw, type=_Repository)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadUpstreamError(
            f"{web.hub.url.host} did not answer as the hub does: {error}",
            code="hub_answer_malformed",
            hint="check HF_ENDPOINT",
        ) from error
    if _COMMIT.fullmatch(answer.sha) is None:
        raise BadUpstreamError("the hub names no commit", code="hub_answer_malformed")
    return answer


def _hub_file(sibling: _Sibling) -> HubFile:
    lfs = sibling.lfs or _Lfs()
    digest = lfs.sha256 if lfs.sha256 is not None and _DIGEST.fullmatch(lfs.sha256) else None
    count = lfs.size if lfs.size is not None else sibling.size
    return HubFile(sibling.rfilename, count if count is not None and count > 0 else None, digest)


def _choose(source: HubSource, files: Sequence[HubFile], preferred: Sequence[str]) -> HubFile:
    if source.file is None:
        matching = [file for file in files if not _COMPANION.search(file.path)]
    else:
        matching = [file for file in files if file.path == source.file]
        if not matching and not source.file.lower().endswith(".gguf"):
            word = re.compile(rf"(?<![a-z0-9]){re.escape(source.file)}(?![a-z0-9_])", re.IGNORECASE)
            matching = [file for file in files if word.search(file.path)]
    if len(matching) == 1:
        return matching[0]
    if not files:
        raise NotFoundError(
            f"{source.repo} has no GGUF file",
            code="no_gguf_file",
            hint="look at the hub for a repository with -GGUF in its name",
        )
    if not matching:
        raise NotFoundError(
            f"{source.repo} has no file {source.file}; it has {_listed(files)}",
            code="source_not_found",
            hint=_suggestion(source, files, preferred),
        )
    raise InvalidError(
        f"{source.repo} has {len(matching)} files that could be meant: {_listed(matching)}",
        code="file_not_chosen",
        hint=_suggestion(source, matching, preferred),
    )


def _listed(files: Sequence[HubFile]) -> str:
    shown = [
        f"{each.path} ({size(each.size_bytes)})" if each.size_bytes else each.path
        for each in files[:LISTED_MAX]
    ]
    more = len(files) - LISTED_MAX
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _suggestion(source: HubSource, files: Sequence[HubFile], preferred: Sequence[str]) -> str:
    whole = [
        file for file in files if not _SPLIT.search(file.path) and not _COMPANION.search(file.path)
    ] or list(files)
    wanted = (file for kind in preferred for file in whole if kind in file.path.lower())
    best = next(wanted, min(whole, key=lambda file: file.size_bytes or 2**63))
    revision = f"@{source.revision}" if source.revision else ""
    return f"hivemark models pull 'hf:{source.repo}{revision}:{best.path}'"
