"""SentencePiece-style BPE: `tokenizer.ggml.model` "llama".

A space is U+2581; the pair whose joined text has the highest score merges first; what is not in the
vocabulary falls back to byte tokens `<0xXX>`. U+2581 in the text itself therefore comes back as a space.
"""

import re
from typing import Final

from hivemark.engine.merging import merge_pairs
from hivemark.engine.tokenizer import Tokenizer, TokenType, Vocabulary
from hivemark.errors import InvalidError

SPACE: Final = "▁"
BYTE_TOKEN: Final = re.compile(r"<0x([0-9A-F]{2})>")


class SpmTokenizer(Tokenizer):
    """`InvalidError` code `gguf_metadata` when scores or byte tokens are missing."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        if not vocabulary.scores:
            raise InvalidError("missing", code="gguf_metadata", field="tokenizer.ggml.scores")
        self._ids: dict[str, int] = {}
        self._bytes: dict[int, int] = {}
        for token, (text, kind) in enumerate(zip(vocabulary.texts, vocabulary.types, strict=True)):
            if kind is TokenType.BYTE:
                self._bytes[_byte_of(text)] = token
            elif kind in (TokenType.NORMAL, TokenType.USER_DEFINED):
                self._ids.setdefault(text, token)
        if len(self._bytes) != 256:
            raise InvalidError(
                f"{len(self._bytes)} byte tokens where 256 are needed",
                code="gguf_metadata",
                field="tokenizer.ggml.tokens",
            )
        self._values = {token: bytes((value,)) for value, token in self._bytes.items()}

    def token_bytes(self, token: int) -> bytes:
        kind = self.vocabulary.types[token]
        if kind is TokenType.BYTE:
            return self._values[token]
        if kind in (TokenType.NORMAL, TokenType.USER_DEFINED):
            return self.vocabulary.texts[token].replace(SPACE, " ").encode()
        return b""

    def _encode_plain(self, text: str, *, is_start: bool) -> list[int]:
        prefix = " " if is_start and self.vocabulary.adds_space_prefix else ""
        symbols = merge_pairs((prefix + text).replace(" ", SPACE), self._priority)
        ids: list[int] = []
        for symbol in symbols:
            token = self._ids.get(symbol)
            ids += [self._bytes[byte] for byte in symbol.encode()] if token is None else [token]
        return ids

    def _priority(self, left: str, right: str) -> float | None:
        token = self._ids.get(left + right)
        return None if token is None else -self.vocabulary.scores[token]


def _byte_of(text: str) -> int:
    match = BYTE_TOKEN.fullmatch(text)
    if match is None:
        raise InvalidError(
            f"{text!r} is not a byte token", code="gguf_metadata", field="tokenizer.ggml.tokens"
        )
    return int(match[1], 16)
