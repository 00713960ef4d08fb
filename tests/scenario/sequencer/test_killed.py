"""SIGKILL before and after every operation of the sequencer: nothing lost, nothing twice, one history."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from hivemark.testing.faults import Faults, FaultyTileStore, Strike, faulty_log

from .logbook import Home, leaf_of, names, queue, read_log, require_sound, run_until_idle, sequencer

FIRST, SECOND = names(0, 3), names(3, 265)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three entries, and 262 more in the queue: they fill a tile and begin the next."""
    folder = tmp_path_factory.mktemp("prepared")
    home = Home(folder)
    store = home.open()
    queue(store, *FIRST)
    store.close()
    run_until_idle(home, "zero", now_ms=10)
    store = home.open()
    queue(store, *SECOND)
    store.close()
    return folder


def run_faulty(home: Home, faults: Faults) -> None:
    store = home.open()
    runner = sequencer(faulty_log(store, faults), FaultyTileStore(home.tiles, faults), "killed", batch=200)
    while runner.step(1_000):
        pass
    store.close()


def in_a_child(home: Home, strike: Strike, at: int) -> bool:
    """Run the sequencer in a process of its own; whether it was killed on the way."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            run_faulty(home, Faults(strike, at=at))
            status = 0
        finally:
            os._exit(status)  # never back into pytest
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


@pytest.mark.parametrize("strike", ["kill_before", "kill_after"])
def test_killed_at_every_step_it_goes_on(prepared: Path, tmp_path: Path, strike: Strike) -> None:
    at, killed = 0, True
    while killed:
        at += 1
        folder = tmp_path / str(at)
        shutil.copytree(prepared, folder)
        home = Home(folder)
        killed = in_a_child(home, strike, at)
        _, seen = read_log(home.tiles)  # what was shown is whole even now
        assert seen == [leaf_of(name) for name in names(0, len(seen))]
        run_until_idle(home, "heir", now_ms=100_000)
        assert home.entries() == [leaf_of(name) for name in (*FIRST, *SECOND)]
        require_sound(home)
        shutil.rmtree(folder)
    assert at > 20, "every operation was met, the last run was not killed"
