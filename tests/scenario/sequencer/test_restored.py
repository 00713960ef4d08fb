"""An older database, an older folder, a lost or foreign one: rebuilt or refused, never a second history."""

import shutil
from pathlib import Path

import pytest

from hivemark.coordinator.loops.recovery import LogRefused
from hivemark.coordinator.store import SqlStore

from .logbook import OTHER_SIGNER, Home, leaf_of, names, queue, require_sound, run_until_idle, sequencer


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """300 entries, and copies of the database from before: `queued`, `assigned`, `older`."""
    home = Home(tmp_path)
    _queue(home, 0, 100)
    run_until_idle(home, "one", now_ms=1_000)
    home.copy_database("older")
    _queue(home, 100, 300)
    home.copy_database("queued")
    store = home.open()
    epoch = store.lead(holder="two", now_ms=2_000, lease_ms=1)
    assert epoch is not None and len(store.assign(epoch=epoch, limit=999)) == 200
    store.close()
    home.copy_database("assigned")
    run_until_idle(home, "three", now_ms=3_000)
    return home


def _queue(home: Home, start: int, end: int) -> None:
    store = home.open()
    queue(store, *names(start, end))
    store.close()


@pytest.mark.parametrize("backup", ["older", "queued", "assigned"])
def test_an_older_database_takes_over_what_the_log_has(home: Home, backup: str) -> None:
    shown = home.checkpoint()
    home.restore_database(backup)
    _queue(home, 300, 310)
    run_until_idle(home, "after", now_ms=9_000)
    assert home.entries() == [leaf_of(name) for name in names(0, 310)]
    assert home.checkpoint().size == shown.size + 10
    require_sound(home)


def test_an_empty_database_takes_over_the_whole_log(home: Home) -> None:
    (home.folder / "store.db").unlink()
    run_until_idle(home, "after", now_ms=9_000)
    _queue(home, 300, 301)
    run_until_idle(home, "later", now_ms=99_000)
    assert home.entries() == [leaf_of(name) for name in names(0, 301)]
    require_sound(home)


@pytest.mark.parametrize(("backup", "last"), [("older", 1_300), ("queued", 1_300), ("older", 1_100)])
def test_a_database_that_went_another_way_is_refused(home: Home, backup: str, last: int) -> None:
    """Somebody ran the restored database on an empty log folder first, beyond the log or just as far."""
    home.restore_database(backup)
    shutil.move(home.folder / "log", home.folder / "kept")
    _queue(home, 900, last)
    if backup == "queued":
        _forget_queue_order(home)
    run_until_idle(home, "wrong", now_ms=9_000)
    shutil.rmtree(home.folder / "log")
    shutil.move(home.folder / "kept", home.folder / "log")
    _refuses(home, "log_forked")


def _forget_queue_order(home: Home) -> None:
    """The other way differs within the entries both have, not only after them."""
    store = home.open()
    with_first_gone = "DELETE FROM log_queue WHERE seq = (SELECT min(seq) FROM log_queue)"
    store.database.write(lambda connection: connection.exec_driver_sql(with_first_gone).rowcount)
    store.close()


def test_a_database_that_went_another_way_and_is_behind_is_refused(home: Home) -> None:
    home.restore_database("older")
    shutil.move(home.folder / "log", home.folder / "kept")
    _queue(home, 900, 910)
    run_until_idle(home, "wrong", now_ms=9_000)
    shutil.rmtree(home.folder / "log")
    shutil.move(home.folder / "kept", home.folder / "log")
    _refuses(home, "log_forked")


def test_a_lost_folder_is_rebuilt_byte_for_byte(home: Home) -> None:
    files = home.files()
    shutil.rmtree(home.folder / "log")
    run_until_idle(home, "after", now_ms=9_000)
    rebuilt = home.files()
    assert rebuilt["checkpoint"] == files["checkpoint"]
    assert {path: files[path] for path in rebuilt} == rebuilt
    require_sound(home)


def test_an_older_folder_is_brought_up_to_date(home: Home) -> None:
    newest = home.checkpoint()
    shutil.copytree(home.folder / "log", home.folder / "older-log")
    _queue(home, 300, 700)
    run_until_idle(home, "after", now_ms=9_000)
    shutil.rmtree(home.folder / "log")
    shutil.move(home.folder / "older-log", home.folder / "log")
    assert home.checkpoint() == newest
    run_until_idle(home, "later", now_ms=99_000)
    assert home.entries() == [leaf_of(name) for name in names(0, 700)]
    require_sound(home)


@pytest.mark.parametrize("path", ["tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"])
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_damaged_edge_is_rebuilt(home: Home, path: str, damage: str) -> None:
    file = home.folder / "log" / path
    good = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(bytes(len(good)))
    run_until_idle(home, "after", now_ms=9_000)
    assert file.read_bytes() == good
    require_sound(home)


def test_missing_entries_that_the_database_lacks_are_refused(home: Home) -> None:
    home.restore_database("older")
    (home.folder / "log" / "tile/entries/000").unlink()
    _refuses(home, "log_incomplete")


def test_changed_entries_are_not_taken_over(home: Home) -> None:
    home.restore_database("older")
    file = home.folder / "log" / "tile/entries/001.p/44"
    file.write_bytes(file.read_bytes().replace(b"entry 0299", b"entry 0298"))
    _refuses(home, "log_forked")


def test_a_checkpoint_of_another_key_is_refused(home: Home) -> None:
    store = home.open()
    with pytest.raises(LogRefused) as refused:
        sequencer(store, home.tiles, "after", signer=OTHER_SIGNER).step(9_000)
    store.close()
    assert refused.value.code == "log_key_differs"


def _refuses(home: Home, code: str) -> None:
    """The sequencer says so, signs nothing, writes nothing, and keeps saying so."""
    before = home.files()
    store: SqlStore = home.open()
    queue(store, "one more")
    state = store.log_state()
    runner = sequencer(store, home.tiles, "after")
    for now_ms in (90_000, 90_200):
        with pytest.raises(LogRefused) as refused:
            runner.step(now_ms)
        assert refused.value.code == code
    after = store.log_state()
    store.close()
    assert (after.size, after.published_checkpoint) == (state.size, state.published_checkpoint)
    assert home.files() == before
