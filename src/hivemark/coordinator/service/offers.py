"""What a hive may say of itself: bounded, printable, and small enough for every database."""

import re
from collections.abc import Iterator
from typing import Final

from hivemark.api.link import Offer, OfferedModel
from hivemark.errors import InvalidError

SLOTS_MAX: Final = 1_024
MODELS_MAX: Final = 256
LISTED_MAX: Final = 64
LABEL_CHARS_MAX: Final = 255
_COUNT_MAX: Final = 2**53 - 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def require_offer(offer: Offer) -> None:
    """Spec/link 4.1; raises `InvalidError` with code `member_invalid` and the field."""
    if not 0 <= offer.slots <= SLOTS_MAX:
        raise _invalid(f"0 to {SLOTS_MAX} slots", "slots")
    if len(offer.models) > MODELS_MAX:
        raise _invalid(f"at most {MODELS_MAX} models", "models")
    for name, listed in (("devices", offer.devices), ("simulated", offer.simulated)):
        if len(listed) > LISTED_MAX:
            raise _invalid(f"at most {LISTED_MAX} of them", name)
    for field, text in _labels(offer):
        require_label(text, field)
    for index, model in enumerate(offer.models):
        _require_model(model, f"models[{index}]")


def require_label(text: str, field: str) -> None:
    """A name that can be stored and shown anywhere; raises `InvalidError` with code `member_invalid`."""
    if not 1 <= len(text) <= LABEL_CHARS_MAX or not text.isprintable():
        raise _invalid(f"1 to {LABEL_CHARS_MAX} printable characters", field)


def _labels(offer: Offer) -> Iterator[tuple[str, str]]:
    yield "name", offer.name
    yield from ((f"devices[{index}]", text) for index, text in enumerate(offer.devices))
    yield from ((f"simulated[{index}]", text) for index, text in enumerate(offer.simulated))
    for index, model in enumerate(offer.models):
        for name, text in (("name", model.name), ("engine", model.engine)):
            yield f"models[{index}].{name}", text
        if model.quantisation is not None:
            yield f"models[{index}].quantisation", model.quantisation


def _require_model(model: OfferedModel, field: str) -> None:
    if model.weights_sha256 is not None and _DIGEST.fullmatch(model.weights_sha256) is None:
        raise _invalid("64 lower-case hex characters", f"{field}.weights_sha256")
    for name, count in (("context_tokens", model.context_tokens), ("bytes", model.bytes)):
        if count is not None and not 0 <= count <= _COUNT_MAX:
            raise _invalid("0 to 2^53 - 1", f"{field}.{name}")


def _invalid(message: str, field: str) -> InvalidError:
    return InvalidError(message, code="member_invalid", field=field)
