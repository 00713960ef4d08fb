"""A receipt in words, and a check that is about the text which the reader holds."""

import importlib.util
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hivemark.cli.chat_receipt import check_answer, receipt_lines
from hivemark.cli.output import Output
from hivemark.client.chatproof import HeldTexts
from hivemark.errors import UnverifiedError
from hivemark.protocol.bundle import Disclosed, encode_bundle

VECTORS = Path(__file__).parents[2] / "vectors"


def load_vectors(name: str):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, VECTORS / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


chain, calls = load_vectors("chain"), load_vectors("calls")
GOOD = chain.build_chain()
CALL = calls.make(chain)
RAW = encode_bundle(CALL)
BODY = json.dumps(calls.BODY).encode()
HIDDEN = encode_bundle(replace(CALL, disclosed=Disclosed()))


def checked(raw: bytes, policy, answer: str, body: bytes = BODY) -> str:
    told = io.StringIO()
    check_answer(raw, policy, HeldTexts(body, answer), Output(False, Console(file=told, width=200)))
    return told.getvalue()


def test_a_receipt_is_told_in_words() -> None:
    lines = dict(receipt_lines(RAW))
    assert GOOD.receipt.hive.id in lines["computed by"]
    assert lines["model"].startswith(f"{GOOD.receipt.model.name}, weights {chain.WEIGHTS[:16]}")
    assert f"seed {GOOD.receipt.seed}" in lines["sampling"]
    assert lines["outcome"].startswith("accepted at ")


def test_a_check_says_what_was_shown_and_what_was_not() -> None:
    told = checked(RAW, GOOD.policy, chain.OUTPUT)
    assert "✓ output" in told
    assert "shown: L0 signed receipt" in told
    assert "not shown: that the answer is true" in told
    assert "nothing here opens that commitment" not in told


def test_another_text_than_was_signed_for_is_refused() -> None:
    with pytest.raises(UnverifiedError) as caught:
        checked(RAW, GOOD.policy, chain.OUTPUT + "!")
    assert caught.value.code == "disclosure_mismatch"


def test_another_question_than_was_put_is_refused() -> None:
    with pytest.raises(UnverifiedError) as caught:
        checked(RAW, GOOD.policy, chain.OUTPUT, json.dumps({**calls.BODY, "messages": []}).encode())
    assert caught.value.code == "disclosure_mismatch"


def test_texts_that_were_not_compared_are_named() -> None:
    told = checked(HIDDEN, GOOD.policy, "whatever it was")
    assert "not shown: that what you asked is what was signed for" in told
    assert "not shown: that the text you read is what was signed for" in told


def test_without_a_policy_nobody_knows_the_signers() -> None:
    assert "not shown: whose signatures these are" in checked(RAW, None, chain.OUTPUT)
