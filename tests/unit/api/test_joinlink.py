"""The join link says one thing in one form."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemark.api.joinlink import JoinLink, encode_join_link, is_loopback, parse_join_link
from hivemark.errors import ForbiddenError, HivemarkError, InvalidError, UnverifiedError

KEY = bytes(range(32))
LINK = JoinLink("127.0.0.1", 8090, "t" * 32, hashlib.sha256(KEY).digest(), "home-1a2b3c4d")

AUTHORITY = "A" * 42 + "E"

TOKENS = st.text("abcXYZ019_-", min_size=16, max_size=64)
HOSTS = st.sampled_from(["127.0.0.1", "localhost", "::1", "127.9.9.9"])


DIGESTS = st.binary(min_size=32, max_size=32)


@given(HOSTS, st.integers(0, 65_535), TOKENS, DIGESTS, st.booleans(), st.none() | DIGESTS)
def test_a_link_survives_its_text(host, port, token, digest, tls, authority):
    link = JoinLink(host, port, token, digest, "net", tls or authority is not None, authority)
    assert parse_join_link(encode_join_link(link)) == link


@given(st.text(max_size=200))
def test_other_text_is_refused_by_name(text):
    with pytest.raises(HivemarkError):
        parse_join_link(text)


def test_white_space_around_a_copied_link_does_no_harm():
    assert parse_join_link(f"  {encode_join_link(LINK)}\n") == LINK


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("hivemark://", "https://"),
        ("/join?", "/?"),
        (":8090", ""),
        (":8090", ":99999"),
        ("t=tttt", "t=t/tt"),
        ("&n=home-1a2b3c4d", ""),
        ("&n=", "&n=%20"),
        ("&k=", "&k=A"),
        ("&n=home-1a2b3c4d", "&n=home-1a2b3c4d&x=1"),
        ("&n=home-1a2b3c4d", "&n=home-1a2b3c4d&n=other"),
        ("&n=home-1a2b3c4d", "&n=home-1a2b3c4d&tls=0"),
        ("&n=home-1a2b3c4d", "&n=home-1a2b3c4d&tls=2"),
        ("&n=home-1a2b3c4d", "&n=home-1a2b3c4d&c="),
        ("&n=home-1a2b3c4d", "&n=home-1a2b3c4d&c=AAAA"),
        ("&n=home-1a2b3c4d", f"&n=home-1a2b3c4d&c={AUTHORITY}&tls=1"),
        ("&n=home-1a2b3c4d", f"&n=home-1a2b3c4d&c={AUTHORITY}&c={AUTHORITY}"),
        ("&n=home-1a2b3c4d", f"&c={AUTHORITY}&n=home-1a2b3c4d"),
        ("127.0.0.1", "user@127.0.0.1"),
    ],
)
def test_a_changed_form_is_refused(before, after):
    text = encode_join_link(LINK)
    assert before in text
    with pytest.raises(InvalidError) as refused:
        parse_join_link(text.replace(before, after, 1))
    assert refused.value.code == "join_link_malformed"


def test_another_machine_without_tls_is_refused_and_with_tls_is_not():
    text = encode_join_link(LINK).replace("127.0.0.1", "hive.example.org")
    with pytest.raises(ForbiddenError) as refused:
        parse_join_link(text)
    assert refused.value.code == "tls_required"
    assert parse_join_link(text + "&tls=1").base_url == "https://hive.example.org:8090"
    named = parse_join_link(f"{text}&c={AUTHORITY}")
    assert named.base_url == "https://hive.example.org:8090"
    assert named.authority_sha256 is not None


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "127.0.0.1.example.org", "localhost.example.org", "0.0.0.0", ""]
)
def test_only_this_machine_is_loopback(host):
    assert not is_loopback(host)


def test_the_service_key_is_recognised_by_its_fingerprint():
    LINK.require_service_key(KEY)
    with pytest.raises(UnverifiedError) as refused:
        LINK.require_service_key(bytes(32))
    assert refused.value.code == "service_key_mismatch"


def test_the_authority_is_recognised_by_its_fingerprint():
    link = JoinLink("h", 1, "t" * 32, bytes(32), "n", True, hashlib.sha256(b"certificate").digest())
    link.require_authority(b"certificate")
    with pytest.raises(UnverifiedError) as refused:
        link.require_authority(b"another")
    assert refused.value.code == "authority_mismatch"


def test_the_token_never_shows():
    assert "tttt" not in repr(LINK)
