"""How much memory a command and its children take together, at most (Linux; None where it cannot be told)."""

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

SAMPLE_EVERY_S: Final = 0.5
_KIB_PER_MIB: Final = 1024


class PeakMemory:
    """Samples the proportional set size (shared pages counted once) of the process tree."""

    def __init__(self) -> None:
        self.peak_kib: int | None = None
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._sampler.join()

    @property
    def peak_mib(self) -> int | None:
        """The largest sample, rounded up; None where the system does not tell."""
        return None if self.peak_kib is None else -(-self.peak_kib // _KIB_PER_MIB)

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._done.wait(SAMPLE_EVERY_S):
            sizes = [_pss_kib(process.pid) for process in (me, *me.children(recursive=True))]
            told = [size for size in sizes if size is not None]
            if told:
                self.peak_kib = max(self.peak_kib or 0, sum(told))


def _pss_kib(pid: int) -> int | None:
    with suppress(OSError):  # it ended, or the system has no such file
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return None
