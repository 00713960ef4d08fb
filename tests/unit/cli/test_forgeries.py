"""Each forgery of the demo is refused for what was done to it, and the genuine receipt is not."""

import json
import os
from pathlib import Path

import pytest

from hivemark.cli.forgeries import forge
from hivemark.client.verify import verify_bundle
from hivemark.errors import UnverifiedError
from hivemark.protocol.bundle import parse_bundle
from hivemark.translog.policy import parse_policy

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bundles.json").read_text(encoding="utf-8"))
POLICY = parse_policy(VECTORS["policy"].encode())
GENUINE = parse_bundle(VECTORS["good"][0]["bundle"].encode())


def test_the_genuine_receipt_verifies() -> None:
    assert verify_bundle(GENUINE, POLICY).signers_known


@pytest.mark.parametrize(
    ("number", "code"), [(0, "disclosure_mismatch"), (1, "inclusion_invalid"), (2, "inclusion_invalid")]
)
def test_each_forgery_is_refused_for_its_own_reason(number: int, code: str) -> None:
    forgery = forge(GENUINE, random=os.urandom)[number]
    with pytest.raises(UnverifiedError) as caught:
        verify_bundle(forgery.bundle, POLICY)
    assert caught.value.code == code
