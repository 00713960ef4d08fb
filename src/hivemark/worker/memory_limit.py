"""A ceiling on the worker's address space, so that no request can take the machine's memory."""

import resource
import sys
from pathlib import Path
from typing import Final

MARGIN_BYTES: Final = 1 << 29  # threads reserve stacks and arenas of up to 136 MiB each that they never touch


def limit_memory(*, needed_bytes: int) -> None:
    """Allow what the process has now, `needed_bytes` and a margin. Linux only: elsewhere the kernel does not
    keep this limit."""
    if sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    ceiling = pages * resource.getpagesize() + needed_bytes + MARGIN_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or ceiling < hard:
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
