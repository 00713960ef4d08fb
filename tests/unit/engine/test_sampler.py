"""The sampler is the one the design signs: known answers, an independent computation, its distribution."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.engine.sampler import (
    Sampling,
    gumbel_noise,
    kept_set,
    log_probabilities,
    philox_blocks,
    require_seed,
    sample_token,
)
from hivemark.errors import InternalError, InvalidError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/sampler.json").read_text(encoding="utf-8"))
ONES = 2**64 - 1
WORD = 2**64
FROZEN_WARM = [40, 45, 46, 33, 46, 16, 46, 49, 42, 45, 46, 35]
FROZEN_NARROW = [48, 46, 47, 48, 47, 48, 49, 46, 48, 49, 48, 48]


def philox4x64_10(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 from its paper (Salmon et al., 2011), in integers: independent of NumPy's."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], WORD)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], WORD)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B97F4A7C15) % WORD, (k[1] + 0xBB67AE8584CAA73B) % WORD]
    return c


# The known answers that Random123 publishes for philox4x64-10: counter, key, output.
KNOWN = [
    ([0] * 4, [0] * 2, [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]),
    (
        [ONES] * 4,
        [ONES] * 2,
        [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
    ),
    (
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
    ),
]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_philox_gives_the_published_answers(counter: list[int], key: list[int], output: list[int]) -> None:
    number = sum(word << (64 * index) for index, word in enumerate(counter))
    assert philox_blocks(key=key[0] + (key[1] << 64), counter=number, blocks=1)[0].tolist() == output
    assert philox4x64_10(counter, key) == output


@given(st.integers(0, ONES), st.integers(0, 2**31), st.integers(0, 40))
def test_noise_is_what_the_documented_steps_give(seed: int, position: int, token: int) -> None:
    word = philox4x64_10([token, position, 0, 0], [seed, 0])[0]
    uniform = ((word >> 12) + 0.5) * 2.0**-52
    expected = -math.log(-math.log(uniform))
    got = gumbel_noise(seed=seed, position=position, vocabulary=41)[token]
    assert got == pytest.approx(expected, rel=1e-14, abs=1e-14)


def test_the_ends_of_the_uniform_range_stay_finite() -> None:
    for top_bits in (0, 2**52 - 1):
        uniform = (top_bits + 0.5) * 2.0**-52
        assert 0 < uniform < 1
        assert math.isfinite(-math.log(-math.log(uniform)))


def test_the_vectors_hold_for_numpy_and_for_the_independent_computation() -> None:
    for case in VECTORS["noise"]:
        seed, position, token = int(case["seed"]), case["position"], case["id"]
        word = philox4x64_10([token, position, 0, 0], [seed, 0])[0]
        assert f"{word:016x}" == case["word"]
        uniform = ((word >> 12) + 0.5) * 2.0**-52
        assert -math.log(-math.log(uniform)) == pytest.approx(case["noise"], rel=1e-14)
        got = gumbel_noise(seed=seed, position=position, vocabulary=token + 1)[token]
        assert got == pytest.approx(case["noise"], rel=1e-14)
    for case in VECTORS["choices"]:
        logits = np.array(case["logits"], np.float32)
        sampling = Sampling(temperature=case["temperature"], top_p=case["top_p"])
        if sampling.temperature:
            assert kept_set(logits, sampling)[0].tolist() == case["kept"]
        seed = int(case["seed"])
        chosen = [sample_token(logits, sampling, seed=seed, position=position) for position in range(16)]
        assert chosen == case["choices"]


def test_frozen_choices() -> None:
    """A change of these is a change of what signed receipts mean."""
    logits = np.linspace(-3, 3, 50, dtype=np.float32)
    warm, narrow = Sampling(temperature=1.0), Sampling(temperature=0.7, top_p=0.5)
    assert [sample_token(logits, warm, seed=7, position=p) for p in range(12)] == FROZEN_WARM
    assert [sample_token(logits, narrow, seed=ONES, position=p) for p in range(12)] == FROZEN_NARROW


def test_temperature_zero_takes_the_largest_and_ties_go_to_the_lower_id() -> None:
    logits = np.array([1, 5, 2, 5], np.float32)
    assert sample_token(logits, Sampling(), seed=1, position=0) == 1


def test_equal_logits_are_kept_in_the_order_of_their_ids() -> None:
    order, _ = kept_set(np.array([1, 5, 2, 5, 5], np.float32), Sampling(temperature=1.0))
    assert order.tolist() == [1, 3, 4, 2, 0]


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=60),
    st.floats(0.01, 1.0),
    st.floats(0.05, 2.0),
)
def test_the_kept_set_is_the_shortest_prefix_that_reaches_top_p(
    values: list[float], top_p: float, temperature: float
) -> None:
    logits = np.array(values, np.float32)
    order, scaled = kept_set(logits, Sampling(temperature=temperature, top_p=top_p))
    whole, all_scaled = kept_set(logits, Sampling(temperature=temperature))
    assert order.tolist() == whole[: len(order)].tolist()
    mass = np.exp(all_scaled - all_scaled[0])
    share = np.cumsum(mass) / mass.sum()
    assert len(order) == len(values) or share[len(order) - 1] >= top_p - 1e-9
    assert len(order) == 1 or share[len(order) - 2] < top_p + 1e-9
    assert len(scaled) == len(order)


@given(st.integers(0, 2**53), st.integers(0, 5000))
def test_narrowing_the_kept_set_never_changes_a_choice_that_stays_in_it(seed: int, position: int) -> None:
    logits = np.linspace(-2, 2, 40, dtype=np.float32)
    wide = Sampling(temperature=1.0)
    narrow = Sampling(temperature=1.0, top_p=0.9)
    chosen = sample_token(logits, wide, seed=seed, position=position)
    if chosen in kept_set(logits, narrow)[0]:
        assert sample_token(logits, narrow, seed=seed, position=position) == chosen


def test_choices_follow_the_softmax() -> None:
    logits = np.array([2.0, 1.0, 0.0, -1.0], np.float32)
    draws = 20_000
    counts = np.zeros(4)
    for position in range(draws):
        counts[sample_token(logits, Sampling(temperature=1.0), seed=11, position=position)] += 1
    expected = np.exp(log_probabilities(logits)) * draws
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 16.27  # 0.1 % of honest samplers lie above, with three degrees of freedom


def test_a_logit_that_is_not_finite_is_an_error_not_a_choice() -> None:
    with pytest.raises(InternalError, match="not finite"):
        sample_token(np.array([1, np.nan], np.float32), Sampling(), seed=0, position=0)


def test_log_probabilities_sum_to_one_and_survive_large_logits() -> None:
    logprobs = log_probabilities(np.array([1e4, 1e4 - 1, -1e4], np.float32))
    assert np.exp(logprobs).sum() == pytest.approx(1.0)
    assert np.isfinite(logprobs).all()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", math.nan),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("max_tokens", 0),
        ("stop", ("",)),
        ("stop", ("x" * 1025,)),
        ("stop", tuple("abcdefghijklmnopq")),
    ],
)
def test_a_member_out_of_range_is_named(member: str, value: object) -> None:
    with pytest.raises(InvalidError) as caught:
        Sampling(**{member: value})  # type: ignore[arg-type]
    assert caught.value.field == member


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(seed: int) -> None:
    with pytest.raises(InvalidError):
        require_seed(seed)
