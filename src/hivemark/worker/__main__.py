"""`python -m hivemark.worker`: read the order, then load and serve; see `start` for the protocol."""

import logging
import os
import sys
import threading
from pathlib import Path

from hivemark.errors import HivemarkError
from hivemark.worker.start import (
    LINE_BYTES_MAX,
    StartOrder,
    encode_failed,
    encode_loading,
    parse_start,
    thread_environment,
)


def main() -> int:
    """Serve until told to stop; the exit status."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    line = _read_line()
    if line is None:  # the parent is gone before it asked for anything
        return 0
    threading.Thread(target=_exit_with_parent, name="watchdog", daemon=True).start()
    try:
        order = parse_start(line)
        _serve(order)
    except HivemarkError as error:
        _write(encode_failed(code=error.code, message=str(error)))
        return 1
    except MemoryError:
        _write(encode_failed(code="out_of_memory", message="the model does not fit into memory"))
        return 1
    except Exception as error:
        logging.getLogger(__name__).exception("the worker failed")
        _write(encode_failed(code="internal", message=f"{type(error).__name__}: {error}"))
        return 1
    return 0


def _serve(order: StartOrder) -> None:
    path = Path(order.model_path)
    bytes_total = path.stat().st_size if path.is_file() else 0
    _write(encode_loading(bytes_done=0, bytes_total=bytes_total))
    os.environ.update(thread_environment(order.threads))
    from hivemark.worker.serving import serve  # NumPy reads the variables when it is imported

    serve(order, write=_write)


def _read_line() -> bytes | None:
    """The first line of standard input, unbuffered so that the watchdog sees what follows."""
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            return None
        line += part
        if len(line) > LINE_BYTES_MAX:
            _write(encode_failed(code="start_invalid", message=f"the line is over {LINE_BYTES_MAX} bytes"))
            raise SystemExit(1)
    return bytes(line)


def _exit_with_parent() -> None:
    """End the process once standard input does, whatever the other threads are doing."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
