"""Blobs in a folder: content-addressed, written once, two characters of the digest per sub-folder."""

import hashlib
import re
import secrets
from pathlib import Path
from typing import Final

from hivemark.coordinator.store.files import (
    read_whole,
    sync_folder,
    unavailable,
    write_durably,
)
from hivemark.errors import InternalError

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PROBE_BYTES: Final = 4_096  # an empty file needs no room


class FolderBlobStore:
    """`ports.BlobStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        try:
            present = path.stat().st_size == len(content)
        except FileNotFoundError:
            present = False
        except OSError as error:
            raise unavailable(error, path) from error
        if present:
            sync_folder(path.parent)  # whoever wrote it may have been stopped before its own sync
        else:
            write_durably(path, content)
        return digest

    def get(self, digest: str) -> bytes | None:
        """The content, or None; `InternalError` `blob_damaged` when the file is not what its name says."""
        if _DIGEST.fullmatch(digest) is None:
            return None
        content = read_whole(self._path(digest))
        if content is not None and hashlib.sha256(content).hexdigest() != digest:
            raise InternalError(f"blob {digest} is damaged", code="blob_damaged")
        return content

    def ping(self) -> None:
        """Raises `StorageUnavailable` when the folder does not take a file."""
        probe = self._folder / f".probe-{secrets.token_hex(8)}"
        write_durably(probe, bytes(_PROBE_BYTES))
        probe.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]
