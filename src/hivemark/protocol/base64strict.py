"""Base64 with exactly one text for each byte string (spec/encoding 3)."""

import base64
import binascii

from hivemark.errors import InvalidError


def encode_base64(data: bytes) -> str:
    """The standard alphabet, padded (spec/encoding 3.1)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(
    text: str, *, length: int | None = None, field: str | None = None, code: str = "base64_malformed"
) -> bytes:
    """The strict inverse of `encode_base64`; raises `InvalidError` with `code` for any other spelling.

    Python's decoder accepts non-zero trailing bits (`QQ==` and `QR==` are both `A`): comparing with the
    re-encoding refuses them, so a signed or hashed text cannot be respelled.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidError("this is not standard padded base64", code=code, field=field) from error
    if encode_base64(data) != text:
        raise InvalidError("this is not the canonical base64 of its bytes", code=code, field=field)
    if length is not None and len(data) != length:
        raise InvalidError(f"expected {length} bytes in base64, got {len(data)}", code=code, field=field)
    return data
