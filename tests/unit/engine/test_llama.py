"""The forward pass: against an independent computation, in one pass or stepwise, the same bits again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from hivemark.engine import Model, load_model
from hivemark.engine.llama import PASS_TOKENS_MAX
from hivemark.errors import CancelledError, InvalidError, NotFoundError
from hivemark.models_shipped import shipped

WriteGguf = Callable[..., Path]
# Logits are up to about 25; measured difference 1.6e-5. BLAS sums in another order in one pass and in many.
ONE_PASS_BOUND = 1e-4
SEQUENCE = [0, 1, 495, 321, 262, 862, 390, 17, 2] * 30


def naive_logits(reader: gguf.GGUFReader, tokens: list[int]) -> Any:
    """The llama forward pass in float64, one head and one position at a time, from its definition."""
    weights = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in reader.tensors
    }
    heads = reader.fields["llama.attention.head_count"].contents()
    kv_heads = reader.fields["llama.attention.head_count_kv"].contents()
    layers = reader.fields["llama.block_count"].contents()
    embedding = weights["token_embd.weight"]
    head_width = embedding.shape[1] // heads

    def norm(x: Any, name: str) -> Any:
        return x / np.sqrt((x * x).mean() + 1e-5) * weights[name]

    def rotated(x: Any, position: int) -> Any:
        out = x.copy()
        for pair in range(head_width // 2):
            angle = position * 10_000.0 ** (-2 * pair / head_width)
            a, b = x[2 * pair], x[2 * pair + 1]
            out[2 * pair] = a * np.cos(angle) - b * np.sin(angle)
            out[2 * pair + 1] = a * np.sin(angle) + b * np.cos(angle)
        return out

    states = [embedding[token] for token in tokens]
    for index in range(layers):
        block = f"blk.{index}."
        keys: list[list[Any]] = []
        values: list[list[Any]] = []
        for position, state in enumerate(states):
            x = norm(state, block + "attn_norm.weight")
            query = np.split(weights[block + "attn_q.weight"] @ x, heads)
            key = np.split(weights[block + "attn_k.weight"] @ x, kv_heads)
            keys.append([rotated(each, position) for each in key])
            values.append(np.split(weights[block + "attn_v.weight"] @ x, kv_heads))
            mixed = []
            for head in range(heads):
                shared = head // (heads // kv_heads)
                turned = rotated(query[head], position)
                scores = np.array([turned @ k[shared] / np.sqrt(head_width) for k in keys])
                share = np.exp(scores - scores.max())
                share /= share.sum()
                mixed.append(sum(s * v[shared] for s, v in zip(share, values, strict=True)))
            state = state + weights[block + "attn_output.weight"] @ np.concatenate(mixed)
            x = norm(state, block + "ffn_norm.weight")
            gate = weights[block + "ffn_gate.weight"] @ x
            gated = gate / (1 + np.exp(-gate)) * (weights[block + "ffn_up.weight"] @ x)
            states[position] = state + weights[block + "ffn_down.weight"] @ gated
    output = weights.get("output.weight", embedding)
    return np.array([output @ norm(state, "output_norm.weight") for state in states])


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0", "q4_0"])
@pytest.mark.parametrize("tied", [True, False])
def test_it_computes_what_the_definition_says(write_gguf: WriteGguf, kind: str, tied: bool) -> None:
    path = write_gguf(kind=kind, tied=tied)
    tokens = [1, 3, 100, 42, 7, 200, 100, 5]
    got = load_model(path).session().feed_all(tokens)
    assert np.abs(got - naive_logits(gguf.GGUFReader(path), tokens)).max() < 1e-4


def test_one_pass_gives_the_logits_of_many_within_the_bound(tiny: Model) -> None:
    assert len(SEQUENCE) > 2 * PASS_TOKENS_MAX
    at_once = tiny.session().feed_all(SEQUENCE)
    session = tiny.session()
    stepwise = np.array([session.feed([token]) for token in SEQUENCE])
    assert np.abs(at_once - stepwise).max() < ONE_PASS_BOUND
    assert np.array_equal(at_once.argmax(axis=1), stepwise.argmax(axis=1))


def test_the_same_calls_give_the_same_bits(tiny: Model) -> None:
    first, second = tiny.session(), tiny.session()
    assert np.array_equal(first.feed(SEQUENCE), second.feed(SEQUENCE))
    for token in SEQUENCE[:40]:
        assert np.array_equal(first.feed([token]), second.feed([token]))


def test_a_prompt_is_left_between_two_passes(tiny: Model) -> None:
    answers = iter([False, True])
    session = tiny.session()
    with pytest.raises(CancelledError):
        session.feed(SEQUENCE, cancelled=lambda: next(answers))
    assert session.length == PASS_TOKENS_MAX


def test_the_facts_of_the_shipped_model(tiny: Model) -> None:
    assert tiny.info.weights_sha256 == shipped()[0].weights_sha256
    assert (tiny.info.parameters, tiny.info.vocabulary, tiny.info.context_tokens) == (3_541_248, 1536, 512)
    assert (tiny.info.quantisation, tiny.info.architecture) == ("q8_0", "llama")


def test_both_shipped_models_share_tokenizer_and_template(tiny: Model) -> None:
    other = load_model(shipped()[1].path)
    assert other.info.quantisation == "q8_0"
    assert other.info.tokenizer_sha256 == tiny.info.tokenizer_sha256
    assert other.info.template_sha256 == tiny.info.template_sha256
    assert other.info.weights_sha256 != tiny.info.weights_sha256


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"width": None}, "llama.embedding_length"),
        ({"width": lambda w: w.add_embedding_length(128)}, "token_embd.weight"),
        ({"layers": lambda w: w.add_block_count(1000)}, "blk.2.attn_norm.weight"),
        ({"layers": lambda w: w.add_block_count(2**32 - 1)}, "llama.block_count"),
        ({"layers": lambda w: w.add_block_count(1)}, "blk.1.attn_k.weight"),
        ({"heads": lambda w: w.add_head_count(0)}, "llama.attention.head_count"),
        ({"heads": lambda w: w.add_string("llama.attention.head_count", "4")}, "llama.attention.head_count"),
        ({"kv_heads": lambda w: w.add_head_count_kv(3)}, "llama.attention.head_count_kv"),
        ({"feed_forward": lambda w: w.add_feed_forward_length(2**31)}, "blk.0.ffn_gate.weight"),
        ({"rope": lambda w: w.add_rope_dimension_count(7)}, "llama.rope.dimension_count"),
        (
            {"epsilon": lambda w: w.add_layer_norm_rms_eps(float("nan"))},
            "llama.attention.layer_norm_rms_epsilon",
        ),
        ({"x": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.YARN)}, "llama.rope.scaling.type"),
        ({"x": lambda w: w.add_expert_count(8)}, "llama.expert_count"),
        ({"x": lambda w: w.add_value_length(8)}, "llama.attention.value_length"),
        ({"template": lambda w: w.add_uint32("tokenizer.chat_template", 1)}, "tokenizer.chat_template"),
        ({"template": lambda w: w.add_chat_template("{% if %}")}, "tokenizer.chat_template"),
    ],
)
def test_metadata_that_does_not_hold_is_refused_by_key(
    write_gguf: WriteGguf, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        load_model(write_gguf(changes=changes))
    assert caught.value.field == field


def test_a_missing_tensor_is_named(write_gguf: WriteGguf) -> None:
    with pytest.raises(InvalidError) as caught:
        load_model(write_gguf(without_tensors=("blk.1.ffn_up.weight",)))
    assert caught.value.field == "blk.1.ffn_up.weight"


def test_a_tensor_nobody_would_use_is_refused(write_gguf: WriteGguf) -> None:
    with pytest.raises(InvalidError) as caught:
        load_model(write_gguf(extra_tensors={"blk.0.attn_q.bias": np.zeros(64, np.float32)}))
    assert caught.value.field == "blk.0.attn_q.bias"


def test_another_architecture_is_refused(write_gguf: WriteGguf) -> None:
    raw = (
        write_gguf()
        .read_bytes()
        .replace(b"\x05\x00\x00\x00\x00\x00\x00\x00llama", b"\x05\x00\x00\x00\x00\x00\x00\x00gemma", 1)
    )
    path = write_gguf().with_name("gemma.gguf")
    path.write_bytes(raw)
    with pytest.raises(InvalidError) as caught:
        load_model(path)
    assert caught.value.code == "architecture_unsupported"


def test_a_path_without_a_model_is_an_error_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_model(tmp_path / "absent.gguf")
    with pytest.raises(NotFoundError):
        load_model(tmp_path)
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(InvalidError, match="empty"):
        load_model(tmp_path / "empty.gguf")
