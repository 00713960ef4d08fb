"""A loaded model: the facts a receipt states about it, its tokenizer, its prompts and its sequences."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hivemark.engine.bpe import BpeTokenizer
from hivemark.engine.chat_template import ChatTemplate, FormatTime, Message
from hivemark.engine.llama import PASS_TOKENS_MAX, LlamaShape, LlamaWeights, Session, load_weights
from hivemark.engine.spm import SpmTokenizer
from hivemark.engine.tokenizer import Tokenizer, Vocabulary
from hivemark.errors import InvalidError
from hivemark.gguf.facts import quantisation, template_sha256, tokenizer_sha256
from hivemark.gguf.head import Value, parse_gguf

HASH_CHUNK_BYTES: Final = 1 << 20
FLOAT_BYTES: Final = 4
# Characters Unicode reserves for use inside programs: one that no message holds marks control texts.
NONCHARACTERS: Final = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model file. Digests are SHA-256 in hex.

    `weights_sha256` is over the bytes of the file; `tokenizer_sha256` over the raw GGUF key-value records
    whose key starts with `tokenizer.ggml.`, in the order of their keys; `template_sha256` over the
    template's UTF-8, null without one. `quantisation` is the type that most of the numbers have.
    """

    name: str
    architecture: str
    weights_sha256: str
    tokenizer_sha256: str
    template_sha256: str | None
    quantisation: str
    context_tokens: int
    parameters: int
    vocabulary: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Model:
    """Immutable after loading; any number of sessions may read it."""

    info: ModelInfo
    shape: LlamaShape
    weights: LlamaWeights
    tokenizer: Tokenizer
    template: ChatTemplate | None
    context_tokens: int

    @property
    def session_bytes_max(self) -> int:
        """What one sequence takes at most: a cache that grows beside its copy, a pass's largest matrices."""
        shape = self.shape
        cache = 2 * shape.layers * shape.kv_heads * shape.head_width * self.context_tokens
        scores = shape.heads * self.context_tokens
        activations = 3 * shape.feed_forward + 4 * shape.width
        return FLOAT_BYTES * (2 * cache + PASS_TOKENS_MAX * (3 * scores + activations))

    def session(self) -> Session:
        """An empty sequence."""
        return Session(self.shape, self.weights, context_tokens_max=self.context_tokens)

    def chat_prompt(self, messages: Sequence[Message], *, strftime_now: FormatTime) -> list[int]:
        """The ids that ask for the assistant's next message.

        Texts of control tokens inside a message stay text: who writes a message cannot forge a turn.
        Raises `InvalidError`; code `template_missing` when the model was not made for chat.
        """
        if self.template is None:
            raise InvalidError("the model has no chat template", code="template_missing")
        marker = _unused_character(messages)
        marked = [
            {**message, "content": self.tokenizer.mark_control(message["content"], marker)}
            for message in messages
        ]
        vocabulary = self.tokenizer.vocabulary
        text = self.template.render(
            marked,
            beginning="" if vocabulary.beginning is None else vocabulary.texts[vocabulary.beginning],
            ending=vocabulary.texts[min(vocabulary.ending)] if vocabulary.ending else "",
            strftime_now=strftime_now,
        )
        self._require_possible(text)
        ids = self.tokenizer.with_beginning(self.tokenizer.encode(text, control=True, marker=marker))
        if not ids:
            raise InvalidError("the template made no prompt of the messages", code="prompt_empty")
        return ids

    def _require_possible(self, text: str) -> None:
        """Refuse text that no tokenisation fits into the context, before time is spent on cutting it up."""
        characters_max = self.context_tokens * self.tokenizer.token_bytes_max
        if len(text) > characters_max:
            raise InvalidError(
                f"a prompt of {len(text)} characters cannot fit the context of {self.context_tokens} tokens",
                code="context_length_exceeded",
                field="messages",
            )


def parse_model(
    raw: memoryview,
    *,
    name: str | None = None,
    context_tokens_max: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Model:
    """Make a model of a GGUF file's bytes; `InvalidError` says what is wrong with them.

    `progress` hears how many bytes of tensors were read. `context_tokens_max` lowers the file's context.
    """
    head = parse_gguf(raw)
    shape = LlamaShape.from_metadata(head)
    tokenizer = _tokenizer(head.metadata)
    if len(tokenizer.vocabulary.texts) != shape.vocabulary:
        raise InvalidError(
            f"{len(tokenizer.vocabulary.texts)} tokens for {shape.vocabulary} rows of token_embd.weight",
            code="gguf_metadata",
            field="tokenizer.ggml.tokens",
        )
    source = _template_source(head.metadata)
    template = None if source is None else ChatTemplate(source)
    weights = load_weights(head, raw, shape, progress=progress)
    info = ModelInfo(
        name=name or str(head.metadata.get("general.name", "unnamed")),
        architecture="llama",
        weights_sha256=_sha256(raw),
        tokenizer_sha256=tokenizer_sha256(head),
        template_sha256=None if source is None else template_sha256(source),
        quantisation=quantisation(head),
        context_tokens=shape.context_tokens,
        parameters=sum(tensor.elements for tensor in head.tensors.values()),
        vocabulary=shape.vocabulary,
        bytes=len(raw),
    )
    context_tokens = min(shape.context_tokens, context_tokens_max or shape.context_tokens)
    return Model(info, shape, weights, tokenizer, template, context_tokens)


def _tokenizer(metadata: Mapping[str, Value]) -> Tokenizer:
    kind = metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        return BpeTokenizer(
            Vocabulary.from_metadata(metadata), pre=str(metadata.get("tokenizer.ggml.pre", "default"))
        )
    if kind == "llama":
        return SpmTokenizer(Vocabulary.from_metadata(metadata))
    raise InvalidError(
        f"the tokenizer {kind!r} is neither gpt2 nor llama",
        code="tokenizer_unsupported",
        field="tokenizer.ggml.model",
    )


def _template_source(metadata: Mapping[str, Value]) -> str | None:
    source = metadata.get("tokenizer.chat_template")
    if source is not None and not isinstance(source, str):
        raise InvalidError("a string is needed", code="gguf_metadata", field="tokenizer.chat_template")
    return source


def _unused_character(messages: Sequence[Message]) -> str:
    used = {char for message in messages for char in message["content"]}
    marker = next((char for char in NONCHARACTERS if char not in used), None)
    if marker is None:
        raise InvalidError(
            "the messages use all of U+FDD0 to U+FDEF", code="text_not_unicode", field="messages"
        )
    return marker


def _sha256(raw: memoryview) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(raw), HASH_CHUNK_BYTES):
        digest.update(raw[start : start + HASH_CHUNK_BYTES])
    return digest.hexdigest()
