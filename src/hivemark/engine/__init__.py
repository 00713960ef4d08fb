"""The reference engine: GGUF files of llama architecture computed with NumPy, deterministic, all logits.

No network, no clock, no file but the model (`loading`). Serving it is `worker`'s business.
"""

from hivemark.engine.generation import Piece, TokenLogprob, generate
from hivemark.engine.loading import load_model
from hivemark.engine.model import Model, ModelInfo, parse_model
from hivemark.engine.sampler import Sampling

__all__ = [
    "Model",
    "ModelInfo",
    "Piece",
    "Sampling",
    "TokenLogprob",
    "generate",
    "load_model",
    "parse_model",
]
