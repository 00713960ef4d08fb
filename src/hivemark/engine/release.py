"""From token bytes to text that may be shown: whole characters only, nothing of a stop string."""

import codecs


class TextRelease:
    """Feed token bytes, get the text that is certain; `is_stopped` once a stop string was met.

    A tail that could still become a stop string is held back; the stop string itself never appears.
    Bytes that are not UTF-8 become U+FFFD.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.is_stopped = False

    def feed(self, part: bytes) -> str:
        """The text `part` makes certain."""
        return self._release(self._decoder.decode(part), is_end=False)

    def finish(self) -> str:
        """The rest, when no more tokens follow."""
        return self._release(self._decoder.decode(b"", final=True), is_end=True)

    def _release(self, text: str, *, is_end: bool) -> str:
        if self.is_stopped:
            return ""
        text = self._held + text
        found = [start for stop in self._stop if (start := text.find(stop)) >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            return text[: min(found)]
        held = 0 if is_end else max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop` (fewer than all of it)."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
