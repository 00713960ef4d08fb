"""Stored tensors to float32: f32, f16, and the 32-element blocks q8_0 and q4_0.

q8_0 block: float16 scale, 32 × int8. q4_0 block: float16 scale, 16 bytes whose low nibbles are elements
0–15 and whose high nibbles are elements 16–31, each minus 8.
"""

import numpy as np
import numpy.typing as npt

from hivemark.gguf.head import TensorInfo

Floats = npt.NDArray[np.float32]

BLOCK = 32


def dequantise_into(target: Floats, raw: memoryview, tensor: TensorInfo) -> None:
    """Write the tensor's numbers into `target`, which has its shape; `raw` is the whole file."""
    stored = raw[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes]
    match tensor.kind:
        case "f32":
            target[...] = np.frombuffer(stored, "<f4").reshape(tensor.shape)
        case "f16":
            target[...] = np.frombuffer(stored, "<f2").reshape(tensor.shape)
        case "q8_0":
            _unpack_q8_0(target, stored)
        case "q4_0":
            _unpack_q4_0(target, stored)
        case kind:  # require_reference lets no other kind through
            raise AssertionError(kind)


def _unpack_q8_0(target: Floats, stored: memoryview) -> None:
    blocks = np.frombuffer(stored, np.dtype([("scale", "<f2"), ("values", "i1", BLOCK)]))
    scales = blocks["scale"].astype(np.float32)[:, None]
    np.multiply(blocks["values"], scales, out=target.reshape(-1, BLOCK))


def _unpack_q4_0(target: Floats, stored: memoryview) -> None:
    blocks = np.frombuffer(stored, np.dtype([("scale", "<f2"), ("values", "u1", BLOCK // 2)]))
    scales = blocks["scale"].astype(np.float32)[:, None]
    nibbles = blocks["values"]
    halves = target.reshape(-1, 2, BLOCK // 2)
    np.multiply((nibbles & 0x0F).astype(np.int8) - np.int8(8), scales, out=halves[:, 0])
    np.multiply((nibbles >> 4).astype(np.int8) - np.int8(8), scales, out=halves[:, 1])
