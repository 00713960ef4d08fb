"""Salted commitments: the only form in which a digest of text leaves its owner (spec/signing 2)."""

import hashlib
import hmac
from typing import Final

from hivemark.errors import UnverifiedError

SALT_BYTES: Final = 32


def commit(salt: bytes, content: bytes) -> str:
    """SHA-256(salt ‖ content) in hex; hides `content` from whoever lacks the salt, binds whoever has it."""
    assert len(salt) == SALT_BYTES, "a salt has 32 bytes"
    return hashlib.sha256(salt + content).hexdigest()


def verify_commitment(
    commitment: str, *, salt: bytes, content: bytes, code: str = "commitment_mismatch"
) -> None:
    """Raises `UnverifiedError` with `code` unless `commitment` was made from exactly these bytes."""
    if not hmac.compare_digest(commit(salt, content), commitment):
        raise UnverifiedError("the disclosed bytes are not the ones committed to", code=code)
