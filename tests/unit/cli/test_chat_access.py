"""The key of a home goes to that home's coordinator and nowhere else, and never in the clear."""

from pathlib import Path

import pytest

from hivemark.cli.chat_access import find_access
from hivemark.cli.home import Home
from hivemark.errors import ForbiddenError, InvalidError

OWN = "http://127.0.0.1:8090"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("HIVEMARK_API_KEY", raising=False)
    made = Home(tmp_path)
    made.api_key.write_text("hm_secret\n")
    made.api_key.chmod(0o600)
    return made


@pytest.mark.parametrize("url", [None, OWN, f"{OWN}/", f"{OWN}/v1"])
def test_the_own_coordinator_gets_the_key(home: Home, url: str | None) -> None:
    assert (find_access(home, url).url, find_access(home, url).api_key) == (OWN, "hm_secret")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "https://example.org", "http://10.0.0.1:8090"])
def test_a_stranger_does_not(home: Home, url: str) -> None:
    assert find_access(home, url).api_key is None


def test_a_key_that_is_given_goes_where_it_is_told_but_not_in_the_clear(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIVEMARK_API_KEY", "hm_other")
    assert find_access(home, "https://example.org").api_key == "hm_other"
    with pytest.raises(ForbiddenError):
        find_access(home, "http://example.org")


def test_a_key_that_others_may_read_is_not_used(home: Home) -> None:
    home.api_key.chmod(0o640)
    with pytest.raises(ForbiddenError) as caught:
        find_access(home, None)
    assert caught.value.code == "key_file_exposed"


def test_an_address_with_a_path_is_none(home: Home) -> None:
    with pytest.raises(InvalidError):
        find_access(home, "http://127.0.0.1:8090/other")


def test_the_key_shows_nowhere(home: Home) -> None:
    assert "hm_secret" not in repr(find_access(home, None))
