"""Small real GGUF files, written with the `gguf` package's writer, and the shipped model loaded once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from hivemark.engine import Model, load_model
from hivemark.engine.bpe import BYTE_CHARACTERS
from hivemark.engine.tokenizer import Tokenizer
from hivemark.models_shipped import shipped

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 64, 2, 4, 2, 96
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPM_WORDS = ["▁t", "he", "▁the", "in", "ing", "▁a", "an", "▁an", "nd", "▁and", "er", "▁w", "or", "wor", "ld"]
GgufWriter = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny() -> Model:
    """The first shipped model."""
    return load_model(shipped()[0].path, name="hivemark-tiny-a")


@pytest.fixture
def write_gguf(tmp_path: Path) -> GgufWriter:
    """Writes a random two-layer llama model of the tokenizer and tensor type asked for."""
    return gguf_writer(tmp_path)


@pytest.fixture(scope="session")
def spm(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The tokenizer of a small SPM model."""
    return load_model(gguf_writer(tmp_path_factory.mktemp("spm"))(tokenizer="llama")).tokenizer


def gguf_writer(folder: Path) -> GgufWriter:
    def write(
        *,
        tokenizer: str = "gpt2",
        pre: str | None = "gpt-2",
        kind: str = "f32",
        tied: bool = True,
        changes: Mapping[str, Callable[[gguf.GGUFWriter], None] | None] = {},
        without_tensors: tuple[str, ...] = (),
        extra_tensors: Mapping[str, Any] = {},
    ) -> Path:
        path = folder / f"{tokenizer}-{pre}-{kind}-{tied}.gguf"
        texts, types, scores = spm_vocabulary() if tokenizer == "llama" else bpe_vocabulary()
        writer = gguf.GGUFWriter(path, "llama")
        steps: dict[str, Callable[[gguf.GGUFWriter], None] | None] = {
            "name": lambda w: w.add_name("random"),
            "context": lambda w: w.add_context_length(96),
            "width": lambda w: w.add_embedding_length(WIDTH),
            "layers": lambda w: w.add_block_count(LAYERS),
            "feed_forward": lambda w: w.add_feed_forward_length(FEED_FORWARD),
            "heads": lambda w: w.add_head_count(HEADS),
            "kv_heads": lambda w: w.add_head_count_kv(KV_HEADS),
            "epsilon": lambda w: w.add_layer_norm_rms_eps(1e-5),
            "rope": lambda w: w.add_rope_dimension_count(WIDTH // HEADS),
            "tokenizer": lambda w: w.add_tokenizer_model(tokenizer),
            "tokens": lambda w: w.add_token_list(texts),
            "types": lambda w: w.add_token_types(types),
            "bos": lambda w: w.add_bos_token_id(1),
            "eos": lambda w: w.add_eos_token_id(2),
            "add_bos": lambda w: w.add_add_bos_token(True),
            "template": lambda w: w.add_chat_template(TEMPLATE),
        }
        if tokenizer == "llama":
            steps["scores"] = lambda w: w.add_token_scores(scores)
        else:
            steps["merges"] = lambda w: w.add_token_merges(["h e", "t he", "Ġ the", "i n", "in g", "l l"])
        if pre is not None and tokenizer == "gpt2":
            steps["pre"] = lambda w: w.add_tokenizer_pre(pre)
        for step in {**steps, **changes}.values():
            if step is not None:
                step(writer)
        for name, values in {**tensors(len(texts), tied=tied), **extra_tensors}.items():
            if name not in without_tensors:
                add_tensor(writer, name, values, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def bpe_vocabulary() -> tuple[list[str], list[int], list[float]]:
    specials = ["<|pad|>", "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>", "<tool>"]
    words = ["he", "the", "Ġthe", "in", "ing", "ll"]
    types = [gguf.TokenType.CONTROL] * 5 + [gguf.TokenType.USER_DEFINED]
    return [*specials, *BYTE_CHARACTERS, *words], [*types, *[gguf.TokenType.NORMAL] * 262], []


def spm_vocabulary() -> tuple[list[str], list[int], list[float]]:
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyz.,!é猫"]
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    specials = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
    normal = [*SPM_WORDS, *letters]
    types = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 4, *[gguf.TokenType.BYTE] * 256]
    scores = [0.0] * (len(specials) + 256) + [-float(rank) for rank in range(len(normal))]
    return [*specials, *bytes_, *normal], [*types, *[gguf.TokenType.NORMAL] * len(normal)], scores


def tensors(vocabulary: int, *, tied: bool) -> dict[str, Any]:
    random = np.random.default_rng(20261120)

    def matrix(rows: int, columns: int) -> Any:
        return (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    kv_rows = WIDTH // HEADS * KV_HEADS
    made = {"token_embd.weight": matrix(vocabulary, WIDTH), "output_norm.weight": np.ones(WIDTH, np.float32)}
    if not tied:
        made["output.weight"] = matrix(vocabulary, WIDTH)
    for index in range(LAYERS):
        rows = {
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (kv_rows, WIDTH),
            "attn_v": (kv_rows, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (FEED_FORWARD, WIDTH),
            "ffn_up": (FEED_FORWARD, WIDTH),
            "ffn_down": (WIDTH, FEED_FORWARD),
        }
        made |= {f"blk.{index}.{name}.weight": matrix(*shape) for name, shape in rows.items()}
        for norm in ("attn_norm", "ffn_norm"):
            made[f"blk.{index}.{norm}.weight"] = np.ones(WIDTH, np.float32)
    return made


def add_tensor(writer: gguf.GGUFWriter, name: str, values: Any, kind: str) -> None:
    types = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
    if values.ndim == 1 or kind == "f32":
        writer.add_tensor(name, values)
    elif kind == "f16":
        writer.add_tensor(name, values.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, types[kind]), raw_dtype=types[kind])
