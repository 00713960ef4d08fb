"""Which engine serves a file, and what is said where none can."""

import dataclasses

import pytest

from hivemark.gguf.facts import read_facts
from hivemark.hive.llama import LLAMA, OWN, OWN_BYTES_MAX, Choice, choose
from hivemark.models_shipped import shipped

OURS = read_facts(shipped()[0].path)
FOREIGN = dataclasses.replace(OURS, refusal="the tensor type Q4_K is not computed here")


@pytest.mark.parametrize(
    ("wanted", "facts", "size", "trouble", "engine"),
    [
        ("auto", OURS, 1_000, None, OWN),
        ("auto", OURS, OWN_BYTES_MAX + 1, None, LLAMA),
        ("auto", OURS, OWN_BYTES_MAX + 1, "no AVX2", OWN),
        ("auto", FOREIGN, 1_000, None, LLAMA),
        ("auto", FOREIGN, 1_000, "no AVX2", None),
        ("auto", None, 1_000, None, OWN),
        ("hivemark", OURS, OWN_BYTES_MAX + 1, None, OWN),
        ("hivemark", FOREIGN, 1_000, None, None),
        ("llama.cpp", OURS, 1_000, None, LLAMA),
        ("llama.cpp", OURS, 1_000, "no AVX2", OWN),
        ("llama.cpp", FOREIGN, 1_000, "no AVX2", None),
    ],
)
def test_a_file_is_served_by_what_can_compute_it(wanted, facts, size, trouble, engine):
    assert choose(wanted, facts, size, trouble=trouble).engine == engine


def test_a_fall_back_and_a_refusal_say_why():
    assert choose("llama.cpp", OURS, 1, trouble="no AVX2") == Choice(
        OWN, "llama.cpp was asked for, but no AVX2"
    )
    refused = choose("auto", FOREIGN, 1, trouble="libgomp is missing: apt install libgomp1")
    assert refused.reason is not None
    assert "Q4_K" in refused.reason and "apt install libgomp1" in refused.reason
