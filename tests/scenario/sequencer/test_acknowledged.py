"""What a write answered is there after SIGKILL, whole, and nothing else is half there."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hivemark.coordinator.store.fsck import check_database

from .logbook import Home, queue

WRITERS = 4


def write_until_killed(home: Home, acknowledged: int) -> None:
    """Each writer tells the pipe what the store has answered, and only then goes on."""
    store = home.open()

    def work(writer: int) -> None:
        for number in range(100_000):
            name = f"{writer}-{number}"
            queue(store, name)
            os.write(acknowledged, f"{name}\n".encode())

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(work, range(WRITERS)))


@pytest.mark.parametrize("acknowledgements", [1, 40, 150])
def test_what_was_answered_survives_sigkill(tmp_path: Path, acknowledgements: int) -> None:
    home = Home(tmp_path)
    home.open().close()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_until_killed(home, writing)
        finally:
            os._exit(2)  # only a signal ends it
    os.close(writing)
    heard = b""
    while heard.count(b"\n") < acknowledgements:
        heard += os.read(reading, 4_096)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    while more := os.read(reading, 65_536):
        heard += more
    os.close(reading)
    store = home.open()
    names = heard.decode().splitlines()
    kept = {row.id for row in store.log_rows_of([f"row {name}" for name in names])}
    assert kept == {f"row {name}" for name in names}
    assert check_database(store) == []
    store.close()
