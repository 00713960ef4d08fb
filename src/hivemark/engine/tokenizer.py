"""Text to token ids and back: what both kinds of vocabulary share, and the choice between them.

A control token (`<|user|>`, `</s>`) is matched in text only where the caller says the text is trusted: the
output of a chat template, never what a person wrote inside it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from hivemark.errors import InvalidError
from hivemark.gguf.head import Value

VOCABULARY_MAX: Final = 1_000_000


class TokenType(IntEnum):
    """`tokenizer.ggml.token_type` of the GGUF specification."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a model and the ids with a meaning; `ending` are those that end a generation."""

    texts: tuple[str, ...]
    types: tuple[TokenType, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    beginning: int | None
    ending: frozenset[int]
    adds_beginning: bool
    adds_space_prefix: bool

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Value]) -> "Vocabulary":
        """Read `tokenizer.ggml.*`; `InvalidError` names the key that does not hold."""
        texts = _strings(metadata, "tokenizer.ggml.tokens")
        if not 1 <= len(texts) <= VOCABULARY_MAX:
            raise _invalid("tokenizer.ggml.tokens", f"{len(texts)} tokens")
        is_spm = metadata.get("tokenizer.ggml.model") == "llama"
        beginning = _token_id(metadata, "tokenizer.ggml.bos_token_id", len(texts))
        endings = (
            _token_id(metadata, f"tokenizer.ggml.{kind}_token_id", len(texts))
            for kind in ("eos", "eot", "eom")
        )
        adds_beginning = _flag(metadata, "tokenizer.ggml.add_bos_token", default=is_spm)
        if adds_beginning and beginning is None:
            raise _invalid("tokenizer.ggml.bos_token_id", "missing, and add_bos_token is true")
        return cls(
            texts=texts,
            types=_types(metadata, len(texts)),
            scores=_scores(metadata, len(texts)),
            merges=_strings(metadata, "tokenizer.ggml.merges") if "tokenizer.ggml.merges" in metadata else (),
            beginning=beginning,
            ending=frozenset(token for token in endings if token is not None),
            adds_beginning=adds_beginning,
            adds_space_prefix=_flag(metadata, "tokenizer.ggml.add_space_prefix", default=True),
        )


class Tokenizer(ABC):
    """A vocabulary that can be applied; the two kinds differ in how a stretch of plain text is cut."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        typed = list(zip(vocabulary.texts, vocabulary.types, strict=True))
        # No token stands for more bytes than its own text has, whichever way bytes are written in it.
        self.token_bytes_max = max(len(text.encode()) for text in vocabulary.texts)
        self._atoms = {
            text: token
            for token, (text, kind) in enumerate(typed)
            if kind in (TokenType.CONTROL, TokenType.USER_DEFINED) and text
        }
        self._any_atom = _alternatives(self._atoms)
        self._plain_atom = _alternatives(
            text for text, kind in typed if kind is TokenType.USER_DEFINED and text
        )
        control = [text for text, kind in typed if kind is TokenType.CONTROL and text]
        self._control_text = _alternatives(control)

    def encode(self, text: str, *, control: bool = False, marker: str = "") -> list[int]:
        """The ids of `text`, no beginning token added.

        `control`: texts of control tokens become those tokens. `marker`: a character to drop once atoms
        have been found (`mark_control` put it there). Raises `InvalidError` for text that is not Unicode.
        """
        require_unicode(text)
        pattern = self._any_atom if control else self._plain_atom
        ids: list[int] = []
        is_start = True
        for stretch, atom in _split(pattern, text):
            plain = stretch.replace(marker, "") if marker else stretch
            if plain:
                ids += self._encode_plain(plain, is_start=is_start)
            if atom is not None:
                ids.append(self._atoms[atom])
                is_start = True
        return ids

    def mark_control(self, text: str, marker: str) -> str:
        """`text` with `marker` inside every text of a control token, so that none of them matches."""
        if self._control_text is None:
            return text
        return self._control_text.sub(lambda match: match[0][0] + marker + match[0][1:], text)

    def with_beginning(self, ids: list[int]) -> list[int]:
        """`ids` behind the beginning token when the model wants one and none is there yet."""
        beginning = self.vocabulary.beginning
        if not self.vocabulary.adds_beginning or beginning is None or ids[:1] == [beginning]:
            return ids
        return [beginning, *ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; control tokens have none, bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(token) for token in ids).decode("utf-8", "replace")

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """What the token adds to the output, in UTF-8 (possibly a part of a character)."""

    @abstractmethod
    def _encode_plain(self, text: str, *, is_start: bool) -> list[int]:
        """The ids of text without atoms; `is_start` when it follows an atom or nothing."""


def require_unicode(text: str) -> None:
    """Raise `InvalidError` where `text` holds half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidError("the text holds half of a surrogate pair", code="text_not_unicode") from error


def _split(pattern: re.Pattern[str] | None, text: str) -> Iterable[tuple[str, str | None]]:
    start = 0
    if pattern is not None:
        for match in pattern.finditer(text):
            yield text[start : match.start()], match[0]
            start = match.end()
    yield text[start:], None


def _alternatives(texts: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(set(texts), key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _strings(metadata: Mapping[str, Value], key: str) -> tuple[str, ...]:
    values = metadata.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _invalid(key, "a list of strings is needed")
    return tuple(str(value) for value in values)


def _types(metadata: Mapping[str, Value], count: int) -> tuple[TokenType, ...]:
    key = "tokenizer.ggml.token_type"
    values = metadata.get(key, [int(TokenType.NORMAL)] * count)
    known = {int(kind): kind for kind in TokenType}
    if not isinstance(values, list) or len(values) != count:
        raise _invalid(key, f"a list of {count} numbers is needed")
    if not all(isinstance(value, int) and value in known for value in values):
        raise _invalid(key, "a token type is not 1 to 6")
    return tuple(known[int(value)] for value in values)


def _scores(metadata: Mapping[str, Value], count: int) -> tuple[float, ...]:
    key = "tokenizer.ggml.scores"
    values = metadata.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or len(values) != count or not all(isinstance(v, float) for v in values):
        raise _invalid(key, f"a list of {count} floats is needed")
    return tuple(float(value) for value in values)


def _token_id(metadata: Mapping[str, Value], key: str, count: int) -> int | None:
    value = metadata.get(key)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < count:
        raise _invalid(key, f"{value!r} is not a token id below {count}")
    return value


def _flag(metadata: Mapping[str, Value], key: str, *, default: bool) -> bool:
    value = metadata.get(key, default)
    if not isinstance(value, bool):
        raise _invalid(key, "true or false is needed")
    return value


def _invalid(key: str, message: str) -> InvalidError:
    return InvalidError(message, code="gguf_metadata", field=key)
