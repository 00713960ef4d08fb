"""One folder holds everything, and says where its coordinator is."""

import stat
from pathlib import Path

import pytest

from hivemark.cli.home import DEFAULT_URL, Home
from hivemark.errors import InvalidError


def test_folders_are_closed_to_others(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.ensure_folders()
    home.ensure_folders()
    for folder in (home.root, home.keys, home.run, home.logs):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_settings_win_over_what_runs_and_that_over_the_default(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.coordinator_url() == DEFAULT_URL
    home.run.mkdir()
    (home.run / "coordinator.json").write_text('{"url": "http://127.0.0.1:1"}', encoding="utf-8")
    assert home.coordinator_url() == "http://127.0.0.1:1"
    home.config.write_text('[client]\nurl = "https://hive.example"\n', encoding="utf-8")
    assert home.coordinator_url() == "https://hive.example"


@pytest.mark.parametrize("note", ["", "half {", "[]", '{"url": 7}'])
def test_a_broken_note_of_what_runs_counts_as_none(tmp_path: Path, note: str) -> None:
    home = Home(tmp_path)
    home.run.mkdir()
    (home.run / "coordinator.json").write_text(note, encoding="utf-8")
    assert home.coordinator_url() == DEFAULT_URL


@pytest.mark.parametrize("text", ["[client", "[client]\nurl = 7\n"])
def test_broken_settings_are_an_error(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.config.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidError) as caught:
        home.coordinator_url()
    assert caught.value.code == "setting_invalid"
