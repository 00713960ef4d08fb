"""Turning stored numbers into float32 gives what the reference implementation gives, bit for bit."""

import gguf
import numpy as np
import pytest

from hivemark.engine.tensors import dequantise_into
from hivemark.gguf.head import TensorInfo

KINDS = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_the_reference(kind: str) -> None:
    values = np.random.default_rng(1).standard_normal((6, 96)).astype(np.float32)
    stored = gguf.quants.quantize(values, KINDS[kind])
    expected = gguf.quants.dequantize(stored, KINDS[kind])
    raw = b"\0" * 64 + stored.tobytes()
    target = np.empty((6, 96), np.float32)
    dequantise_into(target, memoryview(raw), TensorInfo("t", (6, 96), kind, 64, stored.nbytes))
    assert np.array_equal(target, expected)
