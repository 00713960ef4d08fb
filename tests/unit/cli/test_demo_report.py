"""The demo succeeds only when everything did, and says loudly when a forgery was believed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hivemark.cli.demo_report import Outcome, Refusal, show_conclusion, show_refusal
from hivemark.cli.evidence import Verified
from hivemark.cli.forgeries import Forgery
from hivemark.cli.home import Home
from hivemark.cli.output import Output
from hivemark.client.verify import verify_documents
from hivemark.client.views import Credits, Job, Progress
from hivemark.errors import UnverifiedError
from hivemark.protocol.bundle import parse_bundle
from hivemark.translog.policy import parse_policy

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bundles.json").read_text(encoding="utf-8"))
GOOD = VECTORS["good"][0]["bundle"].encode()
RESULTS = verify_documents([("one", GOOD), ("two", GOOD)], parse_policy(VECTORS["policy"].encode()))
FORGERY = Forgery("a byte changed", "of a digest", parse_bundle(GOOD))
REFUSED = Refusal(FORGERY, UnverifiedError("no", code="disclosure_mismatch"))
BELIEVED = Refusal(FORGERY, None)


def job(*, completed: int) -> Job:
    states = {"queued": 0, "leased": 0, "running": 0, "failed": 0, "cancelled": 0, "dead": 2 - completed}
    return Job(
        id="job_1",
        spec_id="demo",
        benchmark="demo",
        state="completed",
        visibility="public",
        created_at="",
        progress=Progress(cells=2, completed=completed, **states),
        credits=Credits(held="0", settled="0"),
        spec_sha256="",
    )


WHOLE = Outcome(
    cells=2,
    job=job(completed=2),
    rules={},
    verified=Verified(Path("receipts"), RESULTS),
    refusals=(REFUSED, REFUSED, REFUSED),
    seconds=9.5,
    peak_pss_mib=None,
)


@pytest.fixture
def told() -> tuple[Output, Console]:
    console = Console(width=200, record=True, quiet=False, file=None)
    return Output(as_json=False, people=console), console


def test_everything_done_is_a_success() -> None:
    assert WHOLE.is_complete
    value = WHOLE.to_object()
    assert (value["executions"], value["completed"], value["receipts_verified"]) == (2, 2, 2)
    assert (value["forgeries_refused"], value["seconds"], value["peak_pss_mib"]) == (3, 9.5, None)


@pytest.mark.parametrize(
    "change",
    [
        {"job": job(completed=1)},
        {"verified": Verified(Path("receipts"), RESULTS[:1])},
        {"refusals": (REFUSED, REFUSED, BELIEVED)},
        {"refusals": (REFUSED, REFUSED)},
        {"cells": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_anything_short_is_a_failure(change: dict[str, Any]) -> None:
    assert not replace(WHOLE, **change).is_complete


def test_a_believed_forgery_cannot_be_overlooked(told: tuple[Output, Console]) -> None:
    output, console = told
    show_refusal(BELIEVED, output)
    assert "BELIEVED, which must never happen" in console.export_text()


def test_the_conclusion_says_where_the_files_lie(told: tuple[Output, Console], tmp_path: Path) -> None:
    output, console = told
    show_conclusion(WHOLE, Home(tmp_path), output, is_kept=True)
    text = console.export_text()
    assert "2 of 2 executions completed, 2 receipts verified, 3 of 3 forgeries refused in 9.5 s." in text
    assert f"hivemark verify receipts --policy {tmp_path / 'policy'}" in text
