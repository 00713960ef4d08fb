"""What work costs: prices per token, the bound held at submission and the charge at settlement.

One credit is one second on the reference machine and one million micro-credits; amounts are integers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hivemark.errors import InvalidError

MICRO_PER_CREDIT: Final = 1_000_000
NOOP_MICRO: Final = 100
"""Hold and charge of a cell that runs no model: what its receipt and log entry cost."""

_TEMPLATE_TOKENS_MAX: Final = 64  # what a chat template adds around the messages
_CREDITS: Final = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,6}))?")


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-credits per token. The defaults are the reference machine's: 2,000 completion tokens or 12,500
    prompt tokens are one second of it."""

    micro_per_prompt_token: int = 80
    micro_per_completion_token: int = 500


def hold_micro(message_bytes: Iterable[int], max_tokens: int, price: Price) -> int:
    """An upper bound of what a request can cost, from the UTF-8 length of each message's text.

    A token of a byte-level vocabulary is at least one byte, so the bytes bound the prompt's tokens.
    """
    prompt_tokens_max = sum(message_bytes) + _TEMPLATE_TOKENS_MAX
    return charge_micro(prompt_tokens_max, max_tokens, price)


def charge_micro(prompt_tokens: int, completion_tokens: int, price: Price) -> int:
    """The price of this usage; the caller has capped it by what was seen, `settle` caps it by the hold."""
    if prompt_tokens < 0 or completion_tokens < 0:
        raise InvalidError("usage is never negative", code="usage_invalid")
    return prompt_tokens * price.micro_per_prompt_token + completion_tokens * price.micro_per_completion_token


def parse_credits(text: str) -> int:
    """Micro-credits of a decimal amount such as `1.25`: at most six decimals, no sign, no exponent."""
    match = _CREDITS.fullmatch(text)
    if match is None:
        raise InvalidError(f"{text!r} is no amount of credits such as 1.25", code="credits_malformed")
    whole, decimals = match.groups()
    return int(whole) * MICRO_PER_CREDIT + int((decimals or "").ljust(6, "0"))


def format_credits(amount_micro: int) -> str:
    """The amount in credits, always with six decimals."""
    whole, micro = divmod(abs(amount_micro), MICRO_PER_CREDIT)
    return f"{'-' if amount_micro < 0 else ''}{whole}.{micro:06d}"
