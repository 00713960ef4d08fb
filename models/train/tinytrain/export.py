"""A trained network as a GGUF file: q8_0 matrices, f32 norms, the tokenizer and the chat template."""

import json
from pathlib import Path
from typing import Final

import gguf
import numpy as np
import torch

from tinytrain.network import Shape
from tinytrain.tokens import SPECIALS

CHAT_TEMPLATE: Final = (
    "{% for m in messages %}{% if m['role'] == 'user' or m['role'] == 'system' %}<|user|>{{ m['content'] }}"
    "{% else %}<|assistant|>{{ m['content'] }}<|endoftext|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_Q8_0: Final = gguf.GGMLQuantizationType.Q8_0


def export(name: str, run: Path, file: Path, *, shape: Shape) -> None:
    """Write `run`/model.pt and `run`/tokenizer.json to `file`."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, json.loads((run / "tokenizer.json").read_text(encoding="utf-8")))
    for key, tensor in torch.load(run / "model.pt", weights_only=True).items():
        values = tensor.float().numpy()
        if values.ndim == 1:
            writer.add_tensor(key, values.astype(np.float32))
        else:
            writer.add_tensor(key, gguf.quants.quantize(values, _Q8_0), raw_dtype=_Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict) -> None:
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1])
    texts = [text for text, _ in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if text in SPECIALS else gguf.TokenType.NORMAL for text in texts]
    )
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(SPECIALS.index("<|pad|>"))
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)
