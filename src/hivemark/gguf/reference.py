"""Which files our reference engine computes, told from the head alone: one rule for the engine that loads
them and for whoever wants to know before (the download, the catalog)."""

from typing import Final

from hivemark.errors import InvalidError
from hivemark.gguf.head import GgufHead

ARCHITECTURE: Final = "llama"
KINDS: Final = ("f32", "f16", "q4_0", "q8_0")
TOKENIZERS: Final = ("gpt2", "llama")
PRE_TOKENIZERS: Final = ("gpt-2", "default")
# Variants that change the computation in a way the forward pass does not know.
PLAIN: Final = (
    ("llama.rope.scaling.type", (None, "none")),
    ("llama.expert_count", (None, 0)),
    ("llama.attention.sliding_window", (None, 0)),
)


def require_reference(head: GgufHead) -> None:
    """Raise `InvalidError` unless the reference engine computes this architecture, tokenizer and tensors.

    Codes: `architecture_unsupported`, `tokenizer_unsupported`, `quantisation_unsupported`. What passes may
    still lack a tensor or a number, which only loading it finds.
    """
    metadata = head.metadata
    architecture = metadata.get("general.architecture")
    if architecture != ARCHITECTURE:
        raise InvalidError(
            f"the architecture is {architecture!r}; this engine computes {ARCHITECTURE}",
            code="architecture_unsupported",
            field="general.architecture",
        )
    for key, plain in PLAIN:
        if metadata.get(key) not in plain:
            raise InvalidError("not computed by this engine", code="architecture_unsupported", field=key)
    if metadata.get("llama.attention.value_length") != metadata.get("llama.attention.key_length"):
        raise InvalidError(
            "values as wide as keys are needed",
            code="architecture_unsupported",
            field="llama.attention.value_length",
        )
    tokenizer = metadata.get("tokenizer.ggml.model")
    if tokenizer not in TOKENIZERS:
        raise InvalidError(
            f"the tokenizer {tokenizer!r} is neither gpt2 nor llama",
            code="tokenizer_unsupported",
            field="tokenizer.ggml.model",
        )
    pre = metadata.get("tokenizer.ggml.pre", "default")
    if tokenizer == "gpt2" and pre not in PRE_TOKENIZERS:
        raise InvalidError(
            f"the pre-tokenizer {pre!r} is none of {', '.join(PRE_TOKENIZERS)}",
            code="tokenizer_unsupported",
            field="tokenizer.ggml.pre",
        )
    for tensor in head.tensors.values():
        if tensor.kind not in KINDS:
            raise InvalidError(
                f"tensor type {tensor.kind} is none of {', '.join(KINDS)}",
                code="quantisation_unsupported",
                field=tensor.name,
            )
