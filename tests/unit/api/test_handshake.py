"""Signatures of the handshake bind every member and the role."""

from dataclasses import fields, replace

import msgspec
import pytest

from hivemark.api.handshake import Transcript, sign_enrol, verify_enrol
from hivemark.api.link import Enrol
from hivemark.errors import UnverifiedError
from hivemark.protocol.keys import PrivateKey

HIVE = PrivateKey.from_seed(b"h" * 32)
SERVICE = PrivateKey.from_seed(b"s" * 32)
TRANSCRIPT = Transcript(
    network="home",
    hive="hive_x",
    hive_key=HIVE.public.base64,
    service_key=SERVICE.public.base64,
    hive_nonce="a",
    service_nonce="b",
    protocol=1,
)
ENROL = Enrol(
    token="t" * 20, hive="hive_x", public_key=HIVE.public.base64, name="attic", region=None, signature=""
)


def test_each_role_verifies_with_its_own_key():
    TRANSCRIPT.verify("service", TRANSCRIPT.sign("service", SERVICE))
    TRANSCRIPT.verify("hive", TRANSCRIPT.sign("hive", HIVE))


def test_one_role_cannot_be_played_back_as_the_other():
    same = replace(TRANSCRIPT, hive_key=SERVICE.public.base64)
    with pytest.raises(UnverifiedError):
        same.verify("hive", same.sign("service", SERVICE))


@pytest.mark.parametrize("name", [field.name for field in fields(Transcript)])
def test_every_member_is_signed(name):
    signature = TRANSCRIPT.sign("service", SERVICE)
    value = 2 if name == "protocol" else HIVE.public.base64 + "x" if name == "hive_key" else "other"
    if name == "service_key":
        value = HIVE.public.base64
    with pytest.raises(UnverifiedError):
        replace(TRANSCRIPT, **{name: value}).verify("service", signature)


@pytest.mark.parametrize("changes", [{"token": "other"}, {"region": "US"}, {"name": "x"}, {"hive": "y"}])
def test_an_enrolment_is_signed_as_a_whole(changes):
    signed = sign_enrol(ENROL, HIVE)
    verify_enrol(signed)
    with pytest.raises(UnverifiedError):
        verify_enrol(msgspec.structs.replace(signed, **changes))
