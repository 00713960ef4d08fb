"""The worker's end of the pipes to its hive (docs/spec/worker.md): one line in, lines out, the end at EOF.

Standard library only: it is imported before anything that reads the environment.
"""

import os
import sys
import threading

from hivemark.worker.start import LINE_BYTES_MAX, encode_failed


def read_line() -> bytes | None:
    """The first line of standard input, unbuffered: what follows is the watchdog's. None at its end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            return None
        line += part
        if len(line) > LINE_BYTES_MAX:
            write(encode_failed(code="start_invalid", message=f"the line is over {LINE_BYTES_MAX} bytes"))
            raise SystemExit(1)
    return bytes(line)


def end_with_parent() -> None:
    """End the process once standard input does, whatever the other threads are doing."""
    threading.Thread(target=_exit_with_parent, name="watchdog", daemon=True).start()


def write(line: bytes) -> None:
    """One line of the start protocol."""
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _exit_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)
