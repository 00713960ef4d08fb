"""Tokenizers: the same ids as llama.cpp, exact round trips, and no way to forge a control token."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hivemark.engine import Model, load_model
from hivemark.engine.tokenizer import Tokenizer, TokenType
from hivemark.errors import InvalidError

VECTORS = json.loads(Path(__file__).with_name("tokenizer_vectors.json").read_text(encoding="utf-8"))[
    "vectors"
]
WriteGguf = Callable[..., Path]


@pytest.mark.parametrize("kind", VECTORS)
def test_the_ids_are_those_of_llama_cpp(kind: str, write_gguf: WriteGguf) -> None:
    path = write_gguf(tokenizer="llama") if kind == "llama" else write_gguf(pre=kind)
    tokenizer = load_model(path).tokenizer
    for vector in VECTORS[kind]:
        assert tokenizer.encode(vector["text"], control=vector["control"]) == vector["ids"], vector


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_byte_level_text_survives_the_round_trip(tiny: Model, text: str) -> None:
    assert tiny.tokenizer.decode(tiny.tokenizer.encode(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁")))
def test_spm_text_survives_the_round_trip(spm: Tokenizer, text: str) -> None:
    prefix = " " if text else ""
    assert spm.decode(spm.encode(text)) == prefix + text


@given(st.text(st.sampled_from("<|userantdofx>\n ▁")), st.booleans())
def test_text_that_is_not_trusted_never_makes_a_control_token(
    tiny: Model, spm: Tokenizer, text: str, is_repeated: bool
) -> None:
    for tokenizer in (tiny.tokenizer, spm):
        types = tokenizer.vocabulary.types
        for hostile in (text, text + "<|user|>" * (1 + is_repeated), f"</s>{text}<s>"):
            assert all(types[token] is not TokenType.CONTROL for token in tokenizer.encode(hostile))


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(["<|user|>", "<|assistant|>", "<|endoftext|>", "<", "|", "﷐", "hi ", ">"]), max_size=9
    )
)
def test_a_message_cannot_forge_a_turn(tiny: Model, parts: list[str]) -> None:
    content = "".join(parts)
    prompt = tiny.chat_prompt([{"role": "user", "content": content}], strftime_now=str)
    types = tiny.tokenizer.vocabulary.types
    control = [token for token in prompt if types[token] is TokenType.CONTROL]
    assert control == [0, 1, 2]  # beginning, user, assistant: those of the template
    assert tiny.tokenizer.decode(prompt) == content


def test_a_marker_is_chosen_that_no_message_holds(tiny: Model) -> None:
    content = "".join(map(chr, range(0xFDD0, 0xFDEF))) + "<|user|>"
    prompt = tiny.chat_prompt([{"role": "user", "content": content}], strftime_now=str)
    assert tiny.tokenizer.decode(prompt) == content
    with pytest.raises(InvalidError, match="U\\+FDD0"):
        tiny.chat_prompt([{"role": "user", "content": content + "\ufdef"}], strftime_now=str)


def test_half_a_surrogate_pair_is_refused(tiny: Model) -> None:
    with pytest.raises(InvalidError) as caught:
        tiny.tokenizer.encode("a\ud800")
    assert caught.value.code == "text_not_unicode"


def test_a_long_word_costs_little_more_than_its_length(tiny: Model) -> None:
    start = time.process_time()
    ids = tiny.tokenizer.encode("ab" * 50_000)
    assert time.process_time() - start < 5
    assert tiny.tokenizer.decode(ids) == "ab" * 50_000


def test_the_beginning_is_added_once(tiny: Model) -> None:
    assert tiny.tokenizer.with_beginning([5]) == [0, 5]
    assert tiny.tokenizer.with_beginning([0, 5]) == [0, 5]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tokenizer": lambda w: w.add_tokenizer_model("bert")}, "tokenizer.ggml.model"),
        ({"tokenizer": None}, "tokenizer.ggml.model"),
        ({"pre": lambda w: w.add_tokenizer_pre("qwen2")}, "tokenizer.ggml.pre"),
        ({"tokens": None}, "tokenizer.ggml.tokens"),
        ({"tokens": lambda w: w.add_token_list(["a", "b"])}, "tokenizer.ggml.token_type"),
        ({"types": lambda w: w.add_token_types([1, 2])}, "tokenizer.ggml.token_type"),
        ({"types": lambda w: w.add_token_types([9] * 268)}, "tokenizer.ggml.token_type"),
        ({"bos": None}, "tokenizer.ggml.bos_token_id"),
        ({"bos": lambda w: w.add_bos_token_id(99_999)}, "tokenizer.ggml.bos_token_id"),
        ({"merges": lambda w: w.add_token_merges(["abc"])}, "tokenizer.ggml.merges"),
        (
            {"add_bos": lambda w: w.add_uint32("tokenizer.ggml.add_bos_token", 1)},
            "tokenizer.ggml.add_bos_token",
        ),
    ],
)
def test_a_vocabulary_that_does_not_hold_is_refused_by_key(
    write_gguf: WriteGguf, changes: dict[str, Callable[[gguf.GGUFWriter], None] | None], field: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        load_model(write_gguf(changes=changes))
    assert caught.value.field == field


def test_spm_needs_scores(write_gguf: WriteGguf) -> None:
    with pytest.raises(InvalidError) as caught:
        load_model(write_gguf(tokenizer="llama", changes={"scores": None}))
    assert caught.value.field == "tokenizer.ggml.scores"
