"""`python -m hivemark.worker`: read the order, then load and serve; see `start` for the protocol."""

import logging
import os
import sys
from pathlib import Path

from hivemark.errors import HivemarkError
from hivemark.worker.parent import end_with_parent, read_line, write
from hivemark.worker.start import (
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
    line = read_line()
    if line is None:  # the parent is gone before it asked for anything
        return 0
    end_with_parent()
    try:
        order = parse_start(line)
        _serve(order)
    except HivemarkError as error:
        write(encode_failed(code=error.code, message=str(error)))
        return 1
    except MemoryError:
        write(encode_failed(code="out_of_memory", message="the model does not fit into memory"))
        return 1
    except Exception as error:
        logging.getLogger(__name__).exception("the worker failed")
        write(encode_failed(code="internal", message=f"{type(error).__name__}: {error}"))
        return 1
    return 0


def _serve(order: StartOrder) -> None:
    path = Path(order.model_path)
    bytes_total = path.stat().st_size if path.is_file() else 0
    write(encode_loading(bytes_done=0, bytes_total=bytes_total))
    os.environ.update(thread_environment(order.threads))
    from hivemark.worker.serving import serve  # NumPy reads the variables when it is imported

    serve(order, write=write)


if __name__ == "__main__":
    sys.exit(main())
