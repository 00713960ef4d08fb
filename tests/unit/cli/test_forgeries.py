"""Each forgery of the demo is refused for what was done to it, and the genuine receipt is not."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hivemark.cli.forgeries import forge
from hivemark.client.verify import verify_bundle
from hivemark.errors import UnverifiedError
from hivemark.protocol.bundle import parse_bundle
from hivemark.protocol.keys import PrivateKey
from hivemark.translog.note import NoteSigner
from hivemark.translog.policy import Log, parse_policy

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bundles.json").read_text(encoding="utf-8"))
POLICY = parse_policy(VECTORS["policy"].encode())
GENUINE = parse_bundle(VECTORS["good"][0]["bundle"].encode())


def test_the_genuine_receipt_verifies() -> None:
    assert verify_bundle(GENUINE, POLICY).signers_known


@pytest.mark.parametrize(
    ("number", "code"), [(0, "disclosure_mismatch"), (1, "inclusion_invalid"), (2, "log_unknown")]
)
def test_each_forgery_is_refused_for_its_own_reason(number: int, code: str) -> None:
    forgery = forge(GENUINE, random=os.urandom)[number]
    with pytest.raises(UnverifiedError) as caught:
        verify_bundle(forgery.bundle, POLICY)
    assert caught.value.code == code


@pytest.mark.parametrize("good", VECTORS["good"][:2], ids=lambda case: case["why"])
def test_whoever_trusts_the_forgers_keys_believes_the_third(good: dict[str, str]) -> None:
    """Nothing but the pinned keys stands against it: for its maker's own policy it is without a fault."""
    drawn: list[bytes] = []

    def random(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return drawn[-1]

    bundle = forge(parse_bundle(good["bundle"].encode()), random=random)[2].bundle
    _, service, log = (PrivateKey.from_seed(seed) for seed in drawn)
    origin = POLICY.logs[0].verifier.name
    his_log = Log(NoteSigner(origin, log).verifier, None)
    his = replace(POLICY, service_key=service.public, logs=(his_log,), quorum="none")

    assert verify_bundle(bundle, his).signers_known
    assert not verify_bundle(bundle, None).signers_known
    for half in (replace(his, service_key=POLICY.service_key), replace(his, logs=POLICY.logs)):
        with pytest.raises(UnverifiedError):
            verify_bundle(bundle, half)
