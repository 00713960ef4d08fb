"""The bundle: everything about one attempt that its owner needs to prove it offline (spec/bundle)."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from hivemark.protocol.base64strict import decode_base64, encode_base64
from hivemark.protocol.commitment import SALT_BYTES
from hivemark.protocol.shape import Count, Shape, from_shape, to_shape
from hivemark.protocol.strictjson import JsonValue, parse_json_object

BUNDLE: Final = "hivemark.dev/bundle/v1"
BUNDLE_BYTES_MAX: Final = 16_777_216
_DEPTH_MAX: Final = 32  # a disclosed request may be as deep as a document of its own


@dataclass(frozen=True, slots=True)
class DisclosedRequest:
    """The effective request in the clear, with the salt of its commitment. None: whoever asked has it."""

    value: JsonValue
    salt: bytes


@dataclass(frozen=True, slots=True)
class DisclosedOutput:
    """The output text with the salt of its commitment. None: whoever asked has it."""

    text: str | None
    salt: bytes


@dataclass(frozen=True, slots=True)
class DisclosedTokenIds:
    """The token ids with the salt of their commitment. None: nobody kept them."""

    value: tuple[int, ...] | None
    salt: bytes


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What the owner shows; whatever is None stays hidden behind its commitment."""

    request: DisclosedRequest | None = None
    output: DisclosedOutput | None = None
    token_ids: DisclosedTokenIds | None = None
    delivered: DisclosedOutput | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """`entry` is the public form; with `entry_salt` the log holds only the commitment to it."""

    spec: bytes | None
    entry: bytes
    entry_salt: bytes | None
    proof: str
    disclosed: Disclosed = Disclosed()


class _Salted(Shape, frozen=True, kw_only=True):
    salt: str


class _Request(_Salted, frozen=True, kw_only=True):
    value: Any  # any JSON value


class _Output(_Salted, frozen=True, kw_only=True):
    text: str | None


class _TokenIds(_Salted, frozen=True, kw_only=True):
    value: tuple[Count, ...] | None


class _Disclosed(Shape, frozen=True, kw_only=True, omit_defaults=True):
    request: _Request | None
    output: _Output | None
    token_ids: _TokenIds | None
    delivered: _Output | None = None  # left out where there is none, as in every bundle of a question


class _Bundle(Shape, frozen=True, kw_only=True):
    bundle: Literal["hivemark.dev/bundle/v1"]
    spec: str | None
    entry: str
    entry_salt: str | None
    proof: str
    disclosed: _Disclosed


def encode_bundle(bundle: Bundle) -> bytes:
    """JSON that people can read; `parse_bundle` gives the same bundle back."""
    shown = bundle.disclosed
    request, output, token_ids = shown.request, shown.output, shown.token_ids
    delivered = shown.delivered
    value = _Bundle(
        bundle=BUNDLE,
        spec=None if bundle.spec is None else encode_base64(bundle.spec),
        entry=encode_base64(bundle.entry),
        entry_salt=None if bundle.entry_salt is None else encode_base64(bundle.entry_salt),
        proof=bundle.proof,
        disclosed=_Disclosed(
            request=_Request(value=request.value, salt=encode_base64(request.salt)) if request else None,
            output=_Output(text=output.text, salt=encode_base64(output.salt)) if output else None,
            token_ids=_TokenIds(value=token_ids.value, salt=encode_base64(token_ids.salt))
            if token_ids
            else None,
            delivered=_Output(text=delivered.text, salt=encode_base64(delivered.salt)) if delivered else None,
        ),
    )
    return json.dumps(from_shape(value), ensure_ascii=False, indent=1).encode() + b"\n"


def parse_bundle(raw: bytes) -> Bundle:
    """Raises `TooLargeError` or `InvalidError` naming the member; nothing is verified yet."""
    value = to_shape(parse_json_object(raw, bytes_max=BUNDLE_BYTES_MAX, depth_max=_DEPTH_MAX), _Bundle)
    return Bundle(
        spec=None if value.spec is None else decode_base64(value.spec, field="spec"),
        entry=decode_base64(value.entry, field="entry"),
        entry_salt=None if value.entry_salt is None else _salt(value.entry_salt, "entry_salt"),
        proof=value.proof,
        disclosed=_read_disclosed(value.disclosed),
    )


def _read_disclosed(value: _Disclosed) -> Disclosed:
    request, output, token_ids = value.request, value.output, value.token_ids
    delivered = value.delivered
    return Disclosed(
        request=DisclosedRequest(request.value, _salt(request.salt, "disclosed.request.salt"))
        if request
        else None,
        output=DisclosedOutput(output.text, _salt(output.salt, "disclosed.output.salt")) if output else None,
        token_ids=DisclosedTokenIds(token_ids.value, _salt(token_ids.salt, "disclosed.token_ids.salt"))
        if token_ids
        else None,
        delivered=DisclosedOutput(delivered.text, _salt(delivered.salt, "disclosed.delivered.salt"))
        if delivered
        else None,
    )


def _salt(text: str, field: str) -> bytes:
    return decode_base64(text, length=SALT_BYTES, field=field)
