"""Byte-level BPE: `tokenizer.ggml.model` "gpt2" with the pre-tokenizers "gpt-2" and "default".

Each byte stands as one printable character (GPT-2's table); text is cut by the pre-tokenizer's patterns,
each piece then merged by rank.
"""

from functools import lru_cache
from typing import Final

import regex

from hivemark.engine.merging import merge_pairs
from hivemark.engine.tokenizer import Tokenizer, TokenType, Vocabulary
from hivemark.errors import InvalidError

# `\p{White_Space}` is spelled out because `\s` also takes in U+001C to U+001F here.
WORDS: Final = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+"
    r"|\p{White_Space}+(?!\P{White_Space})"
)
# Applied one after the other, each to every piece the one before left.
PATTERNS: Final = {
    "gpt-2": (WORDS,),
    "default": (r"[\p{P}\$\+<=>\^~\|]+", WORDS, r"\p{N}+", r"[0-9][0-9][0-9]"),
}
PIECES_CACHED: Final = 4096
CACHED_LENGTH_MAX: Final = 64


class BpeTokenizer(Tokenizer):
    """Raises `InvalidError`: `tokenizer_unsupported` (of `pre`), `gguf_metadata` (bad merges)."""

    def __init__(self, vocabulary: Vocabulary, *, pre: str) -> None:
        super().__init__(vocabulary)
        if pre not in PATTERNS:
            raise InvalidError(
                f"the pre-tokenizer {pre!r} is none of {', '.join(PATTERNS)}",
                code="tokenizer_unsupported",
                field="tokenizer.ggml.pre",
            )
        self._patterns = tuple(regex.compile(pattern) for pattern in PATTERNS[pre])
        self._ids = {text: token for token, text in enumerate(vocabulary.texts)}
        self._ranks = {_pair(merge): rank for rank, merge in enumerate(vocabulary.merges)}
        missing = [char for char in BYTE_CHARACTERS if char not in self._ids]
        if missing:
            raise InvalidError(
                f"{len(missing)} of the 256 byte characters are missing, first {missing[0]!r}",
                code="gguf_metadata",
                field="tokenizer.ggml.tokens",
            )
        self._merged = lru_cache(maxsize=PIECES_CACHED)(self._merge)

    def token_bytes(self, token: int) -> bytes:
        text = self.vocabulary.texts[token]
        kind = self.vocabulary.types[token]
        if kind is TokenType.CONTROL:
            return b""
        if kind is TokenType.USER_DEFINED:
            return text.encode()
        return b"".join(_character_bytes(char) for char in text)

    def _encode_plain(self, text: str, *, is_start: bool) -> list[int]:  # noqa: ARG002 - every place is alike
        ids: list[int] = []
        for piece in self._pieces(text):
            characters = "".join(BYTE_CHARACTERS[byte] for byte in piece.encode())
            merge = self._merged if len(characters) <= CACHED_LENGTH_MAX else self._merge
            ids += merge(characters)
        return ids

    def _pieces(self, text: str) -> list[str]:
        pieces = [text]
        for pattern in self._patterns:
            pieces = [part for piece in pieces for part in _cut(pattern, piece)]
        return pieces

    def _merge(self, characters: str) -> tuple[int, ...]:
        symbols = merge_pairs(characters, lambda left, right: self._ranks.get((left, right)))
        # A merge may name a word that is not in the vocabulary; its bytes always are.
        parts = (part for symbol in symbols for part in ((symbol,) if symbol in self._ids else symbol))
        return tuple(self._ids[part] for part in parts)


def _byte_characters() -> str:
    """GPT-2's table: printable Latin-1 stands for itself, the other bytes for U+0100 onwards in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


BYTE_CHARACTERS: Final = _byte_characters()
_BYTES: Final = {char: bytes((byte,)) for byte, char in enumerate(BYTE_CHARACTERS)}


def _character_bytes(char: str) -> bytes:
    return _BYTES.get(char) or char.encode()


def _pair(merge: str) -> tuple[str, str]:
    left, separator, right = merge.partition(" ")
    if not (left and separator and right) or " " in right:
        raise InvalidError(f"{merge!r} is not two words", code="gguf_metadata", field="tokenizer.ggml.merges")
    return left, right


def _cut(pattern: "regex.Pattern[str]", text: str) -> list[str]:
    """Matches and what lies between them, in order."""
    parts: list[str] = []
    start = 0
    for match in pattern.finditer(text):
        parts += [text[start : match.start()], match[0]]
        start = match.end()
    parts.append(text[start:])
    return [part for part in parts if part]
