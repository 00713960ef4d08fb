"""Greedy pair merging over a row of symbols, the step both tokenizers share.

The pair with the lowest priority merges first, ties from the left: O(n log n), so that a long word in a
prompt costs no more than its share.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import TypeVar

Priority = TypeVar("Priority", int, float)


def merge_pairs(symbols: Sequence[str], priority: Callable[[str, str], Priority | None]) -> list[str]:
    """`symbols` with neighbours joined until no pair has a priority."""
    texts = list(symbols)
    following = list(range(1, len(texts) + 1))
    preceding = list(range(-1, len(texts) - 1))
    heap: list[tuple[Priority, int, str, str]] = []

    def propose(left: int, right: int) -> None:
        if left >= 0 and right < len(texts):
            rank = priority(texts[left], texts[right])
            if rank is not None:
                heapq.heappush(heap, (rank, left, texts[left], texts[right]))

    for left in range(len(texts) - 1):
        propose(left, left + 1)
    while heap:
        _, left, left_text, right_text = heapq.heappop(heap)
        right = following[left]
        is_stale = right >= len(texts) or (texts[left], texts[right]) != (left_text, right_text)
        if is_stale or not left_text:
            continue
        texts[left] = left_text + right_text
        texts[right] = ""
        following[left] = following[right]
        if following[left] < len(texts):
            preceding[following[left]] = left
        propose(preceding[left], left)
        propose(left, following[left])
    return [text for text in texts if text]
