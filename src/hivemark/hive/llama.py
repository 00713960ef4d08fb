"""Which engine serves a model file: our own, or llama.cpp where it is installed and this machine can run it.

A model is never exchanged for another; which engine answered stands in every receipt.
"""

import ctypes
import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from hivemark.gguf.facts import ModelFacts

Wanted = Literal["auto", "hivemark", "llama.cpp"]
OWN: Final[Literal["worker"]] = "worker"
LLAMA: Final[Literal["llama.cpp"]] = "llama.cpp"
COMMAND: Final = (sys.executable, "-m", "hivemark.worker.llamacpp")
CONTEXT_TOKENS_MAX: Final = 8_192
OWN_BYTES_MAX: Final = 64_000_000
"""Larger files are served by llama.cpp where it is there: NumPy would take minutes for an answer."""
_FLAGS: Final = frozenset({"avx2", "fma", "f16c", "bmi2"})


@dataclass(frozen=True, slots=True)
class Choice:
    """`engine` None: this hive cannot serve the file, and `reason` says why. With an engine, `reason` tells
    why it is not the one that was asked for."""

    engine: Literal["worker", "llama.cpp"] | None
    reason: str | None = None


def choose(wanted: Wanted, facts: ModelFacts | None, size_bytes: int, *, trouble: str | None) -> Choice:
    """Pure: `trouble` is what keeps llama.cpp from running here, None when nothing does.

    A file whose head could not be read goes to our own worker, which says what is wrong with it.
    """
    refusal = None if facts is None else facts.refusal
    if wanted == "hivemark" or facts is None:
        return Choice(OWN) if refusal is None else Choice(None, refusal)
    if trouble is None:
        is_llama = wanted == "llama.cpp" or refusal is not None or size_bytes > OWN_BYTES_MAX
        return Choice(LLAMA if is_llama else OWN)
    if refusal is not None:
        return Choice(None, f"{refusal}; llama.cpp could, but {trouble}")
    return Choice(OWN, f"llama.cpp was asked for, but {trouble}" if wanted == "llama.cpp" else None)


def context_of(engine: Literal["worker", "llama.cpp"], trained: int | None) -> int | None:
    """What a model is offered with: llama.cpp takes the memory of its context at once, so it has less."""
    return min(trained or CONTEXT_TOKENS_MAX, CONTEXT_TOKENS_MAX) if engine == LLAMA else trained


@cache
def llama_trouble() -> str | None:
    """Why llama.cpp cannot run here, with what to do about it; None when it can as far as can be told."""
    if find_spec("xllamacpp") is None:
        return "it is not installed: pip install 'hivemark[llm]'"
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libgomp.so.1")
        except OSError:
            return "libgomp is missing: apt install libgomp1"
    return _missing_flags()


def _missing_flags() -> str | None:
    """The wheel is built for processors with AVX2; on others it would die of an illegal instruction."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return None
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    missing = sorted(_FLAGS - set(flags))
    return f"this processor lacks {', '.join(missing)}" if missing else None
