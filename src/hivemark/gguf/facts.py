"""What people and receipts want to know of a model file, from its head."""

import hashlib
import mmap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hivemark.errors import InvalidError, NotFoundError
from hivemark.gguf.head import GgufHead, Value, parse_gguf
from hivemark.gguf.reference import require_reference

TOKENIZER_KEYS: Final = "tokenizer.ggml."
TEMPLATE_KEY: Final = "tokenizer.chat_template"
PRINTED_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """None where the file does not say; digests as in `engine.ModelInfo`.

    `quantisation` is the type that most of the numbers have. `refusal` is why our own engine does not compute
    the model, None when it does.
    """

    architecture: str | None
    quantisation: str | None
    parameters: int
    context_tokens: int | None
    vocabulary: int | None
    tokenizer: str | None
    tokenizer_sha256: str | None
    template_sha256: str | None
    title: str | None
    licence: str | None
    refusal: str | None


def read_facts(path: Path) -> ModelFacts:
    """The facts of the file at `path`, of which only the head is read.

    Raises `NotFoundError` code `model_file` when it cannot be opened, `InvalidError` when it is not a GGUF
    file, is cut off, lies about its lengths, or is one part of several.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise InvalidError("the file is empty", code="gguf_malformed")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}", code="model_file") from error
    with mapped, memoryview(mapped) as raw:
        return facts_of(parse_gguf(raw))


def facts_of(head: GgufHead) -> ModelFacts:
    """The facts of a parsed head; raises `InvalidError` for a file that is no whole model."""
    metadata = head.metadata
    if not head.tensors:
        raise InvalidError("the file has no tensors: it is no model", code="gguf_malformed")
    parts = _count(metadata, "split.count")
    if parts is not None and parts > 1:
        raise InvalidError(f"the file is one of {parts} parts of a model", code="model_split")
    architecture = _text(metadata, "general.architecture")
    tokens = metadata.get("tokenizer.ggml.tokens")
    template = metadata.get(TEMPLATE_KEY)
    return ModelFacts(
        architecture=architecture,
        quantisation=quantisation(head),
        parameters=sum(tensor.elements for tensor in head.tensors.values()),
        context_tokens=_count(metadata, f"{architecture}.context_length"),
        vocabulary=len(tokens) if isinstance(tokens, list) else None,
        tokenizer=_text(metadata, "tokenizer.ggml.model"),
        tokenizer_sha256=tokenizer_sha256(head) if isinstance(tokens, list) else None,
        template_sha256=template_sha256(template) if isinstance(template, str) else None,
        title=_text(metadata, "general.name"),
        licence=_text(metadata, "general.license"),
        refusal=_refusal(head),
    )


def quantisation(head: GgufHead) -> str:
    """The type that most of the numbers have; the file has at least one tensor."""
    elements: Counter[str] = Counter()
    for tensor in head.tensors.values():
        elements[tensor.kind] += tensor.elements
    return elements.most_common(1)[0][0]


def tokenizer_sha256(head: GgufHead) -> str:
    """Over the raw records whose key starts with `tokenizer.ggml.`, in the order of their keys."""
    keys = sorted(key for key in head.records if key.startswith(TOKENIZER_KEYS))
    return hashlib.sha256(b"".join(head.records[key] for key in keys)).hexdigest()


def template_sha256(source: str) -> str:
    """Over the template's UTF-8."""
    return hashlib.sha256(source.encode()).hexdigest()


def _refusal(head: GgufHead) -> str | None:
    try:
        require_reference(head)
    except InvalidError as error:
        return str(error)[:PRINTED_CHARS_MAX]
    return None


def _text(metadata: Mapping[str, Value], key: str) -> str | None:
    value = metadata.get(key)
    return value[:PRINTED_CHARS_MAX] if isinstance(value, str) and value else None


def _count(metadata: Mapping[str, Value], key: str) -> int | None:
    value = metadata.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
