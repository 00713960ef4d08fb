"""Log lines as JSON on stderr, one per event, ours and those of the libraries alike."""

import json
import logging
import os
import sys
from typing import TextIO, cast

import structlog


def configure_logs(level: str) -> None:
    """Route structlog and the standard library's loggers into one form; called once, by `main`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    lines = cast("TextIO", LineWriter(sys.stderr.fileno()))  # both loggers only write and flush
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


class LineWriter:
    """Writes whole lines to a descriptor. The log often shares the disk that is full when there is most to
    say: a line that cannot be written is counted, and never ends what wanted to say it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lost = 0

    def write(self, line: str) -> None:
        """One line with its end, or none; the next that can be written is preceded by how many were lost."""
        lost = self._lost
        if lost:
            note = json.dumps({"event": "log_lines_lost", "level": "error", "count": lost})
            line = f"\n{note}\n{line}"  # the first line end closes a line that was cut
        try:
            written = os.write(self._descriptor, content := line.encode(errors="backslashreplace"))
        except OSError:
            self._lost += 1
            return
        self._lost = self._lost - lost if written == len(content) else self._lost + 1

    def flush(self) -> None:
        """Nothing is held back."""
