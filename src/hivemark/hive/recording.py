"""What an attempt has yielded so far: output, token ids and prefix commitments, added up as they come."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from hivemark.api.link import OUTPUT_BYTES_PER_TOKEN_MAX
from hivemark.hive.engines.base import Chunk
from hivemark.hive.failure import EngineFailure, Stage
from hivemark.protocol.answers import ToolCalls
from hivemark.protocol.receipt import PREFIX_CHUNKS, Prefix, Usage

OUTPUT_BYTES_MAX: Final = 1_048_576
"""Six times as much, if every character has to be escaped, still fits into a result's body."""
EMBEDDINGS_BYTES_MAX: Final = 8_388_608
CHUNKS_MAX: Final = 16_384
"""With a prefix commitment every 64 chunks the receipt then still fits into a log entry."""


@dataclass(slots=True)
class Recording:
    """Grows with `add`. The output is hashed as it comes, under the salt it will be disclosed with."""

    output_salt: bytes
    max_tokens: int
    bytes_max: int | None = None
    texts: list[str] = field(default_factory=list)
    token_ids: list[int] | None = field(default_factory=list)
    prefixes: list[Prefix] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    tool_calls: ToolCalls = field(default_factory=ToolCalls)
    chunks: int = 0
    output_bytes: int = 0

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256(self.output_salt)

    _hash: "hashlib._Hash" = field(init=False, repr=False)

    @property
    def output(self) -> str:
        """The concatenated content of choice 0, then its tool calls."""
        return "".join(self.texts) + self.tool_calls.encode()

    def add(self, chunk: Chunk) -> None:
        """Take one chunk; raises `EngineFailure` when the engine overran what it was asked for."""
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.usage = chunk.usage or self.usage
        self._add_token_ids(chunk)
        self.tool_calls.add(chunk.tool_calls)
        if chunk.text:
            self._add_text(chunk.text)

    def _add_text(self, text: str) -> None:
        try:
            raw = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise EngineFailure(Stage.STREAM, "engine_garbage", "the text is not Unicode") from error
        self.chunks += 1
        self.output_bytes += len(raw)
        self.texts.append(text)
        self._hash.update(raw)
        bytes_max = self.bytes_max or min(OUTPUT_BYTES_MAX, self.max_tokens * OUTPUT_BYTES_PER_TOKEN_MAX)
        if self.output_bytes > bytes_max or self.chunks > CHUNKS_MAX:
            raise EngineFailure(
                Stage.STREAM,
                "output_too_large",
                f"the output passed {bytes_max} bytes or {CHUNKS_MAX} chunks",
                transient=False,
            )
        if self.chunks % PREFIX_CHUNKS == 0:
            commitment = self._hash.copy().hexdigest()
            self.prefixes.append(Prefix(chunks=self.chunks, bytes=self.output_bytes, commitment=commitment))

    def _add_token_ids(self, chunk: Chunk) -> None:
        if chunk.token_ids is None:
            if chunk.text:
                self.token_ids = None  # an engine that leaves some out cannot be recounted
        elif self.token_ids is not None:
            self.token_ids.extend(chunk.token_ids)
            if len(self.token_ids) > self.max_tokens:
                raise EngineFailure(
                    Stage.STREAM, "engine_overran", f"more than the {self.max_tokens} tokens asked for"
                )
