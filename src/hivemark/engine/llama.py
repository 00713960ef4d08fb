"""The llama architecture in float32: shape, weights, and one sequence with its key/value cache.

Deterministic for one build, machine and thread count: the same calls give the same bits. One pass over n
tokens and n passes over one differ in the last bits (other BLAS kernels); the bound is tested.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hivemark.engine.tensors import Floats, dequantise_into
from hivemark.errors import CancelledError, InvalidError
from hivemark.gguf.head import GgufHead, TensorInfo, Value
from hivemark.gguf.reference import require_reference

LAYERS_MAX: Final = 1024
CACHE_TOKENS_FIRST: Final = 128
PASS_TOKENS_MAX: Final = 128  # tokens per pass: bounds the attention matrix and the time to a cancellation


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The numbers that fix a llama model; `InvalidError` when they do not fit together."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    rope_width: int
    rope_base: float
    norm_epsilon: float
    context_tokens: int

    @classmethod
    def from_metadata(cls, head: GgufHead) -> "LlamaShape":
        """Read the shape; refuse other architectures and variants this forward pass does not compute."""
        metadata = head.metadata
        require_reference(head)
        width = _count(metadata, "llama.embedding_length")
        heads = _count(metadata, "llama.attention.head_count")
        head_width = _count(metadata, "llama.attention.key_length", default=width // heads)
        embedding = head.tensors.get("token_embd.weight")
        if embedding is None or len(embedding.shape) != 2:
            raise InvalidError("the tensor is missing", code="gguf_tensor", field="token_embd.weight")
        shape = cls(
            vocabulary=embedding.shape[0],
            width=width,
            layers=_count(metadata, "llama.block_count", limit=LAYERS_MAX),
            heads=heads,
            kv_heads=_count(metadata, "llama.attention.head_count_kv", default=heads),
            head_width=head_width,
            feed_forward=_count(metadata, "llama.feed_forward_length"),
            rope_width=_count(metadata, "llama.rope.dimension_count", default=head_width),
            rope_base=_positive(metadata, "llama.rope.freq_base", default=10_000.0),
            norm_epsilon=_positive(metadata, "llama.attention.layer_norm_rms_epsilon"),
            context_tokens=_count(metadata, "llama.context_length"),
        )
        if heads % shape.kv_heads:
            raise InvalidError(
                f"{heads} heads do not share {shape.kv_heads} key/value heads evenly",
                code="gguf_metadata",
                field="llama.attention.head_count_kv",
            )
        if shape.rope_width > head_width or shape.rope_width % 2:
            raise InvalidError(
                f"{shape.rope_width} is odd or above the head width {head_width}",
                code="gguf_metadata",
                field="llama.rope.dimension_count",
            )
        return shape


@dataclass(frozen=True, slots=True)
class Layer:
    """One block; query, key and value rows stand in one matrix, gate and up rows in another."""

    attention_norm: Floats
    qkv: Floats
    attention_out: Floats
    feed_forward_norm: Floats
    gate_up: Floats
    down: Floats


@dataclass(frozen=True, slots=True)
class LlamaWeights:
    """All numbers of a model as float32; `output` is the embedding itself where the file ties them."""

    embedding: Floats
    layers: tuple[Layer, ...]
    output_norm: Floats
    output: Floats


def load_weights(
    head: GgufHead, raw: memoryview, shape: LlamaShape, *, progress: Callable[[int], None] | None = None
) -> LlamaWeights:
    """Turn the file's tensors into weights; `progress` hears the bytes read so far after each tensor.

    Refuses (`InvalidError` code `gguf_tensor`) a missing tensor, one of another shape, and any tensor this
    forward pass would not use: computing without it would give another model's answers.
    """
    unused = dict(head.tensors)
    done_bytes = 0

    def read(target: Floats, name: str) -> None:
        nonlocal done_bytes
        tensor = unused.pop(name, None)
        _require_shape(tensor, name, target.shape)
        assert tensor is not None
        dequantise_into(target, raw, tensor)
        done_bytes += tensor.size_bytes
        if progress is not None:
            progress(done_bytes)

    def matrix(*parts: tuple[str, int], columns: int) -> Floats:
        for name, rows in parts:  # before the memory is asked for: the metadata may lie
            _require_shape(head.tensors.get(name), name, (rows, columns))
        target = np.empty((sum(rows for _, rows in parts), columns), np.float32)
        start = 0
        for name, rows in parts:
            read(target[start : start + rows], name)
            start += rows
        return target

    def vector(name: str) -> Floats:
        _require_shape(head.tensors.get(name), name, (shape.width,))
        target = np.empty(shape.width, np.float32)
        read(target, name)
        return target

    query_rows, kv_rows = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    embedding = matrix(("token_embd.weight", shape.vocabulary), columns=shape.width)
    layers = []
    for index in range(shape.layers):
        block = f"blk.{index}."
        layers.append(
            Layer(
                attention_norm=vector(block + "attn_norm.weight"),
                qkv=matrix(
                    (block + "attn_q.weight", query_rows),
                    (block + "attn_k.weight", kv_rows),
                    (block + "attn_v.weight", kv_rows),
                    columns=shape.width,
                ),
                attention_out=matrix((block + "attn_output.weight", shape.width), columns=query_rows),
                feed_forward_norm=vector(block + "ffn_norm.weight"),
                gate_up=matrix(
                    (block + "ffn_gate.weight", shape.feed_forward),
                    (block + "ffn_up.weight", shape.feed_forward),
                    columns=shape.width,
                ),
                down=matrix((block + "ffn_down.weight", shape.width), columns=shape.feed_forward),
            )
        )
    output_norm = vector("output_norm.weight")
    tied = "output.weight" not in unused
    output = embedding if tied else matrix(("output.weight", shape.vocabulary), columns=shape.width)
    if unused:
        name = min(unused)
        raise InvalidError("this engine has no use for the tensor", code="gguf_tensor", field=name)
    return LlamaWeights(embedding, tuple(layers), output_norm, output)


class Session:
    """One sequence: feed tokens, read logits. The cache grows by doubling up to the context."""

    def __init__(self, shape: LlamaShape, weights: LlamaWeights, *, context_tokens_max: int) -> None:
        self._shape = shape
        self._weights = weights
        self._context_tokens_max = context_tokens_max
        self._length = 0
        self._keys = _empty_cache(shape, 0)
        self._values = _empty_cache(shape, 0)
        exponents = np.arange(0, shape.rope_width, 2, dtype=np.float64) / shape.rope_width
        self._frequencies = shape.rope_base**-exponents

    @property
    def length(self) -> int:
        """Tokens fed so far."""
        return self._length

    def feed(self, tokens: list[int], *, cancelled: Callable[[], bool] | None = None) -> Floats:
        """Append `tokens`; the logits after the last. Raises `CancelledError` once `cancelled` says so."""
        assert tokens, "the caller feeds at least one token"
        for start in range(0, len(tokens), PASS_TOKENS_MAX):
            if cancelled is not None and cancelled():
                raise CancelledError(code="generation_cancelled")
            state = self._pass(tokens[start : start + PASS_TOKENS_MAX])
        logits: Floats = self._weights.output @ self._normed(state[-1], self._weights.output_norm)
        return logits

    def feed_all(self, tokens: list[int]) -> Floats:
        """Append `tokens`; the logits after each of them, shape [tokens, vocabulary]."""
        logits = np.empty((len(tokens), self._shape.vocabulary), np.float32)
        for start in range(0, len(tokens), PASS_TOKENS_MAX):
            state = self._pass(tokens[start : start + PASS_TOKENS_MAX])
            normed = self._normed(state, self._weights.output_norm)
            np.matmul(normed, self._weights.output.T, out=logits[start : start + PASS_TOKENS_MAX])
        return logits

    def _pass(self, tokens: list[int]) -> Floats:
        """Run the blocks over `tokens`; their final states. Tokens of one pass see the earlier ones only."""
        start, end = self._length, self._length + len(tokens)
        assert end <= self._context_tokens_max, "the caller keeps to the context"
        self._grow(end)
        rotation = self._rotation(start, end)
        mask = None if len(tokens) == 1 else _causal_mask(start, end)
        state: Floats = self._weights.embedding[tokens]
        with np.errstate(over="ignore"):  # exp(-x) of a far negative gate is inf, and x / inf is the right 0
            for index, layer in enumerate(self._weights.layers):
                normed = self._normed(state, layer.attention_norm)
                attended = self._attention(index, layer, normed, start=start, rotation=rotation, mask=mask)
                state = state + attended @ layer.attention_out.T
                gate_up = self._normed(state, layer.feed_forward_norm) @ layer.gate_up.T
                gate, up = gate_up[:, : self._shape.feed_forward], gate_up[:, self._shape.feed_forward :]
                state = state + (gate / (1 + np.exp(-gate)) * up) @ layer.down.T
        self._length = end
        return state

    def _attention(
        self,
        index: int,
        layer: Layer,
        state: Floats,
        *,
        start: int,
        rotation: "_Rotation",
        mask: Floats | None,
    ) -> Floats:
        shape, count = self._shape, len(state)
        end = start + count
        qkv = (state @ layer.qkv.T).reshape(count, shape.heads + 2 * shape.kv_heads, shape.head_width)
        split = shape.heads + shape.kv_heads
        _rotate(qkv[:, :split], rotation, shape.rope_width)  # queries and keys
        keys, values = self._keys[index], self._values[index]
        keys[:, start:end] = qkv[:, shape.heads : split].transpose(1, 0, 2)
        values[:, start:end] = qkv[:, split:].transpose(1, 0, 2)
        group = shape.heads // shape.kv_heads
        # [kv head, query of its group × token, head width]
        queries: Floats = qkv[:, : shape.heads].reshape(count, shape.kv_heads, group, shape.head_width)
        queries = queries.transpose(1, 2, 0, 3).reshape(shape.kv_heads, group * count, shape.head_width)
        scores = (queries @ keys[:, :end].transpose(0, 2, 1)) * np.float32(1 / math.sqrt(shape.head_width))
        if mask is not None:
            by_query = scores.reshape(shape.kv_heads, group, count, end)
            by_query += mask
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ values[:, :end]).reshape(shape.kv_heads, group, count, shape.head_width)
        joined: Floats = mixed.transpose(2, 0, 1, 3).reshape(count, shape.heads * shape.head_width)
        return joined

    def _normed(self, state: Floats, weight: Floats) -> Floats:
        mean_square = np.square(state).mean(axis=-1, keepdims=True)
        normed: Floats = state / np.sqrt(mean_square + np.float32(self._shape.norm_epsilon)) * weight
        return normed

    def _rotation(self, start: int, end: int) -> "_Rotation":
        angles = np.outer(np.arange(start, end, dtype=np.float64), self._frequencies)
        angles = angles[:, None]
        return _Rotation(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))

    def _grow(self, needed: int) -> None:
        capacity = self._keys.shape[2]
        if needed <= capacity:
            return
        capacity = min(self._context_tokens_max, max(needed, 2 * capacity, CACHE_TOKENS_FIRST))
        for name in ("_keys", "_values"):
            grown = _empty_cache(self._shape, capacity)
            grown[:, :, : self._length] = getattr(self, name)[:, :, : self._length]
            setattr(self, name, grown)


@dataclass(frozen=True, slots=True)
class _Rotation:
    cosines: Floats  # [token, 1, pair]
    sines: Floats


def _rotate(heads: Floats, rotation: _Rotation, rope_width: int) -> None:
    """Turn interleaved pairs (elements 0 and 1, 2 and 3, …) in place, as GGUF stores llama weights."""
    even, odd = heads[..., 0:rope_width:2], heads[..., 1:rope_width:2]
    turned = even * rotation.cosines - odd * rotation.sines
    odd[...] = even * rotation.sines + odd * rotation.cosines
    even[...] = turned


def _causal_mask(start: int, end: int) -> Floats:
    positions = np.arange(end)
    allowed = positions[None, :] <= np.arange(start, end)[:, None]
    return np.where(allowed, np.float32(0), np.float32(-np.inf))


def _empty_cache(shape: LlamaShape, tokens: int) -> Floats:
    return np.empty((shape.layers, shape.kv_heads, tokens, shape.head_width), np.float32)


def _require_shape(tensor: TensorInfo | None, name: str, expected: tuple[int, ...]) -> None:
    if tensor is None:
        raise InvalidError("the tensor is missing", code="gguf_tensor", field=name)
    if tensor.shape != expected:
        raise InvalidError(f"shape {tensor.shape} where {expected} is needed", code="gguf_tensor", field=name)


def _count(metadata: Mapping[str, Value], key: str, *, default: int | None = None, limit: int = 2**31) -> int:
    value = metadata.get(key, default)
    if type(value) is not int or not 1 <= value <= limit:
        raise InvalidError(f"{value!r} is not an integer of 1 to {limit}", code="gguf_metadata", field=key)
    return value


def _positive(metadata: Mapping[str, Value], key: str, *, default: float | None = None) -> float:
    value = metadata.get(key, default)
    if not isinstance(value, float) or not (math.isfinite(value) and value > 0):
        raise InvalidError(f"{value!r} is not a positive number", code="gguf_metadata", field=key)
    return value
