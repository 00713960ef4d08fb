"""The text behind an attempt's commitments as it is kept: one blob, content-addressed."""

from typing import Any, Final

import msgspec

from hivemark.protocol.bundle import Disclosed, DisclosedOutput, DisclosedRequest, DisclosedTokenIds


class _Salted(msgspec.Struct, frozen=True):
    salt: bytes
    value: Any  # any JSON value; the field says of what


class _Kept(msgspec.Struct, frozen=True):
    request: _Salted | None
    output: _Salted | None
    token_ids: _Salted | None
    delivered: _Salted | None = None


_KEPT: Final = msgspec.json.Decoder(_Kept)  # made once: making one is not safe in several threads


def encode_disclosed(disclosed: Disclosed) -> bytes:
    """The blob; `parse_disclosed` is its inverse."""
    request, output, token_ids = disclosed.request, disclosed.output, disclosed.token_ids
    delivered = disclosed.delivered
    return msgspec.json.encode(
        _Kept(
            request=_Salted(request.salt, request.value) if request else None,
            output=_Salted(output.salt, output.text) if output else None,
            token_ids=_Salted(token_ids.salt, token_ids.value) if token_ids else None,
            delivered=_Salted(delivered.salt, delivered.text) if delivered else None,
        )
    )


def parse_disclosed(blob: bytes) -> Disclosed:
    """What was kept; the blob store has checked its digest."""
    kept = _KEPT.decode(blob)
    request, output, token_ids, delivered = kept.request, kept.output, kept.token_ids, kept.delivered
    return Disclosed(
        request=DisclosedRequest(value=request.value, salt=request.salt) if request else None,
        output=DisclosedOutput(text=output.value, salt=output.salt) if output else None,
        token_ids=DisclosedTokenIds(value=_tuple(token_ids.value), salt=token_ids.salt)
        if token_ids
        else None,
        delivered=DisclosedOutput(text=delivered.value, salt=delivered.salt) if delivered else None,
    )


def _tuple(value: list[int] | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value)
