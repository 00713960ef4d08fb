"""Text is let go as early as it is certain, and never a piece of a stop string or of a character."""

from hypothesis import given
from hypothesis import strategies as st

from hivemark.engine.release import TextRelease

TEXT = st.text(st.sampled_from("abcé猫😀 \n"), max_size=30)
STOP = st.text(st.sampled_from("abcé"), min_size=1, max_size=4)
SIZES = st.lists(st.integers(1, 3), max_size=30)


def cut(raw: bytes, sizes: list[int]) -> list[bytes]:
    parts, start = [], 0
    for size in sizes:
        parts.append(raw[start : start + size])
        start += size
    return [*parts, raw[start:]]


@given(TEXT, SIZES)
def test_any_cut_of_the_bytes_gives_the_text(text: str, sizes: list[int]) -> None:
    release = TextRelease(())
    assert "".join(release.feed(part) for part in cut(text.encode(), sizes)) + release.finish() == text


@given(
    TEXT, st.text(st.sampled_from("abcé"), min_size=1, max_size=4), st.lists(st.integers(1, 3), max_size=30)
)
def test_the_text_ends_before_the_stop_string(text: str, stop: str, sizes: list[int]) -> None:
    release = TextRelease((stop,))
    shown = "".join(release.feed(part) for part in cut(text.encode(), sizes)) + release.finish()
    assert shown == text.split(stop)[0]
    assert release.is_stopped == (stop in text)


@given(TEXT, st.lists(st.text(st.sampled_from("abc"), min_size=1, max_size=3), max_size=4), st.integers(1, 4))
def test_no_stop_string_is_ever_shown(text: str, stops: list[str], size: int) -> None:
    release = TextRelease(tuple(stops))
    shown = "".join(release.feed(part) for part in cut(text.encode(), [size] * 40)) + release.finish()
    assert not any(stop in shown for stop in stops)


def test_only_what_could_become_a_stop_string_is_held_back() -> None:
    release = TextRelease(("hug.",))
    assert release.feed(b"a big hu") == "a big "
    assert release.feed(b"n") == "hun"
    assert release.feed(b"g") == "g"


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    release = TextRelease(())
    assert release.feed(b"a\xff") == "a\ufffd"
    assert release.feed("猫".encode()[:2]) == ""
    assert release.finish() == "\ufffd"


def test_nothing_follows_a_stop() -> None:
    release = TextRelease(("x",))
    assert release.feed(b"axb") == "a"
    assert release.feed(b"c") == ""
    assert release.finish() == ""
