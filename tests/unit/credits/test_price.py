"""Prices, holds and the text form of amounts."""

import pytest

from hivemark.credits.price import (
    MICRO_PER_CREDIT,
    NOOP_MICRO,
    Price,
    charge_micro,
    format_credits,
    hold_micro,
    parse_credits,
)
from hivemark.errors import InvalidError


def test_one_credit_is_one_second_of_the_reference_machine() -> None:
    price = Price()
    assert charge_micro(0, 2_000, price) == MICRO_PER_CREDIT
    assert charge_micro(12_500, 0, price) == MICRO_PER_CREDIT
    assert 0 < NOOP_MICRO < MICRO_PER_CREDIT


def test_a_hold_covers_any_usage_of_the_request() -> None:
    price = Price(micro_per_prompt_token=3, micro_per_completion_token=7)
    message = "Zürich 🐝"
    bound = hold_micro([len(message.encode())], 16, price)
    assert bound == (len(message.encode()) + 64) * 3 + 16 * 7
    assert charge_micro(len(message.encode()) + 64, 16, price) <= bound


def test_negative_usage_is_refused() -> None:
    with pytest.raises(InvalidError):
        charge_micro(-1, 0, Price())
    with pytest.raises(InvalidError):
        charge_micro(0, -1, Price())


@pytest.mark.parametrize(
    ("text", "micro"),
    [("0", 0), ("1.25", 1_250_000), ("0.000001", 1), ("12", 12_000_000), ("9999999999.999999", 10**16 - 1)],
)
def test_an_amount_is_read_exactly(text: str, micro: int) -> None:
    assert parse_credits(text) == micro


@pytest.mark.parametrize(
    "text", ["", ".5", "1.", "-1", "+1", "1e3", "1.2345678", " 1", "1_0", "١", "1\n", "01"]
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="no amount of credits"):
        parse_credits(text)


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "0.000000"), (123_456, "0.123456"), (-1_500_000, "-1.500000")]
)
def test_an_amount_is_written_with_six_decimals(micro: int, text: str) -> None:
    assert format_credits(micro) == text
