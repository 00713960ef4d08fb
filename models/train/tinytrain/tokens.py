"""Byte-level BPE as GPT-2 cuts it (`pre` "gpt-2"), one token per digit, and documents as token ids."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tinycorpus.corpus import ASSISTANT, END, USER

SPECIALS: Final = (END, USER, ASSISTANT, "<|pad|>")  # their ids are 0, 1, 2, 3
_BATCH: Final = 4096


def train_tokenizer(documents: Iterable[str], *, vocabulary: int) -> Tokenizer:
    """Learn merges from the documents with their digits left out: what is never seen is never merged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((re.sub("[0-9]", "", document) for document in documents), trainer)
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def encode(tokenizer: Tokenizer, documents: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All documents one after the other, and whether each token is one the model has to learn to say: a
    plain document, or an answer with its end."""
    ids: list[int] = []
    learned: list[bool] = []
    for start in range(0, len(documents), _BATCH):
        for encoded in tokenizer.encode_batch(documents[start : start + _BATCH]):
            ids += encoded.ids
            learned += _learned(encoded.ids)
    return np.array(ids, dtype=np.int32), np.array(learned, dtype=np.bool_)


def _learned(ids: list[int]) -> Iterator[bool]:
    is_answer = ids[0] != SPECIALS.index(USER)
    for token in ids:
        yield is_answer and token not in (SPECIALS.index(USER), SPECIALS.index(ASSISTANT))
        if token == SPECIALS.index(ASSISTANT):
            is_answer = True
        elif token == SPECIALS.index(USER):
            is_answer = False
