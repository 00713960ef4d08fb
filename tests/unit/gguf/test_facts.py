"""What is told of a model file: the facts a receipt would state, and whether our own engine computes it."""

import struct
from pathlib import Path

import pytest

from hivemark.engine import load_model
from hivemark.engine.bpe import PATTERNS
from hivemark.errors import InvalidError, NotFoundError
from hivemark.gguf.facts import facts_of, read_facts
from hivemark.gguf.head import parse_gguf
from hivemark.gguf.reference import PRE_TOKENIZERS
from hivemark.models_shipped import ShippedModel, shipped


def text(name: str, value: str) -> bytes:
    return _key(name, 8) + struct.pack("<Q", len(value)) + value.encode()


def number(name: str, value: int) -> bytes:
    return _key(name, 4) + struct.pack("<I", value)


def _key(name: str, kind: int) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind)


def model(*keys: bytes, kind: int = 8, block_bytes: int = 34, elements: int = 32) -> bytes:
    """A file with one tensor of one block."""
    tensor = struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, elements, kind, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys) + tensor
    return head + bytes(-len(head) % 32) + bytes(block_bytes)


LLAMA = (text("general.architecture", "llama"), text("tokenizer.ggml.model", "gpt2"))


@pytest.mark.parametrize("shipped_model", shipped(), ids=lambda each: each.name)
def test_the_facts_are_those_that_the_loaded_model_states(shipped_model: ShippedModel) -> None:
    facts, info = read_facts(shipped_model.path), load_model(shipped_model.path).info
    assert facts.refusal is None
    assert (facts.architecture, facts.quantisation, facts.context_tokens, facts.parameters) == (
        info.architecture, info.quantisation, info.context_tokens, info.parameters,
    )  # fmt: skip
    assert (facts.tokenizer_sha256, facts.template_sha256) == (info.tokenizer_sha256, info.template_sha256)
    assert facts.vocabulary == info.vocabulary


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (model(text("general.architecture", "qwen2")), "'qwen2'; this engine computes llama"),
        (model(*LLAMA, kind=12, block_bytes=144, elements=256), "q4_k is none of f32"),
        (model(*LLAMA, text("tokenizer.ggml.pre", "llama-bpe")), "llama-bpe"),
        (model(LLAMA[0], text("tokenizer.ggml.model", "bert")), "bert"),
        (model(*LLAMA, number("llama.expert_count", 8)), "llama.expert_count"),
    ],
)
def test_a_model_for_other_engines_says_why(raw: bytes, word: str) -> None:
    assert word in str(facts_of(parse_gguf(memoryview(raw))).refusal)


def test_a_part_of_a_model_is_refused() -> None:
    with pytest.raises(InvalidError) as refused:
        facts_of(parse_gguf(memoryview(model(*LLAMA, number("split.count", 3)))))
    assert refused.value.code == "model_split"
    with pytest.raises(InvalidError, match="no tensors"):
        facts_of(parse_gguf(memoryview(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))))


def test_what_is_not_there_and_what_is_empty_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_facts(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidError):
        read_facts(tmp_path / "empty")


def test_the_pre_tokenizers_are_those_of_the_engine() -> None:
    assert set(PRE_TOKENIZERS) == set(PATTERNS)
