"""Keys keep their secret, on disk and in memory."""

import os
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hivemark.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnverifiedError
from hivemark.protocol import keys
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.keyfile import load_private_key, save_private_key, save_private_key_pem

KEY = keys.PrivateKey.from_seed(bytes(range(32)))
CREATED = "2026-11-20T20:10:29.123Z"


def test_the_seed_never_shows():
    shown = f"{KEY} {KEY!r} {vars(KEY).get('_curve_key')}"
    assert KEY.seed.hex() not in shown
    assert encode_base64(KEY.seed) not in shown
    assert repr(KEY.seed) not in shown


def test_generate_takes_exactly_its_seed_from_the_source():
    asked = []

    def random(size):
        asked.append(size)
        return bytes(size)

    assert keys.PrivateKey.generate(random) == keys.PrivateKey.from_seed(bytes(32))
    assert asked == [32]


def test_a_key_is_read_back_from_both_forms(tmp_path):
    save_private_key(tmp_path / "key.json", KEY, created=CREATED, owner_id="acct_x")
    pem = tmp_path / "key.pem"
    save_private_key_pem(pem, KEY)
    assert load_private_key(tmp_path / "key.json") == load_private_key(pem) == KEY
    assert pem.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_saved_key_is_its_owners_alone_and_leaves_no_draft(tmp_path):
    save_private_key(tmp_path / "key.json", KEY, created=CREATED)
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o400
    assert [path.name for path in tmp_path.iterdir()] == ["key.json"]


def test_a_key_is_never_overwritten(tmp_path):
    path = tmp_path / "key.json"
    save_private_key(path, KEY, created=CREATED)
    before = path.read_bytes()
    with pytest.raises(ConflictError) as caught:
        save_private_key(path, keys.PrivateKey.from_seed(bytes(32)), created=CREATED)
    assert caught.value.code == "key_file_exists"
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_private_key(tmp_path / "key.json", KEY, created=CREATED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o644])
def test_a_key_that_others_may_touch_is_refused(tmp_path, mode):
    path = tmp_path / "key.json"
    save_private_key(path, KEY, created=CREATED)
    path.chmod(mode)
    with pytest.raises(ForbiddenError) as caught:
        load_private_key(path)
    assert caught.value.code == "key_file_exposed"
    assert caught.value.hint


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(NotFoundError) as caught:
        load_private_key(tmp_path / "none")
    assert "none" in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b'{"kty":"hivemark-ed25519"}',
        b'{"kty":"other","private_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",'
        b'"public_key":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="}',
        b'{"kty":"hivemark-ed25519","private_key":"AA==","public_key":"AA=="}',
        b'{"kty":"hivemark-ed25519","private_key":7,"public_key":"AA=="}',
    ],
)
def test_what_is_no_key_is_refused(raw):
    with pytest.raises(InvalidError):
        keys.parse_private_key(raw)


def test_a_public_key_of_another_private_key_is_refused():
    value = keys.encode_private_key_json(KEY, created=CREATED)
    value["public_key"] = keys.PrivateKey.from_seed(bytes(32)).public.base64
    raw = str(value).replace("'", '"').encode()
    with pytest.raises(InvalidError) as caught:
        keys.parse_private_key(raw)
    assert caught.value.field == "public_key"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_public_key_has_32_bytes(length):
    with pytest.raises(InvalidError) as caught:
        keys.PublicKey.from_base64(encode_base64(bytes(length)))
    assert caught.value.code == "public_key_malformed"


def test_a_signature_holds_for_its_message_and_key_alone():
    signature = KEY.sign(b"message")
    KEY.public.verify(signature, b"message")
    other = keys.PrivateKey.from_seed(bytes(32)).public
    for key, message in ((KEY.public, b"Message"), (other, b"message")):
        with pytest.raises(UnverifiedError) as caught:
            key.verify(signature, message)
        assert caught.value.code == "signature_invalid"


def test_a_pem_key_of_another_algorithm_is_refused():
    other = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    raw = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(InvalidError) as caught:
        keys.parse_private_key(raw)
    assert caught.value.code == "private_key_malformed"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_raw_keys_have_32_bytes(length):
    for make in (keys.PublicKey.from_raw, keys.PrivateKey.from_seed):
        with pytest.raises(InvalidError):
            make(bytes(length))
