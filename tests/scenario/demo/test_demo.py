"""`hivemark demo` as a person or a script runs it: the whole chain, for real."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hivemark.client.verify import verify_document
from hivemark.translog.policy import parse_policy

DEMO = (sys.executable, "-m", "hivemark.cli", "demo")
NODE = shutil.which("node")
FOREIGN_VERIFIER = Path(__file__).parents[2] / "interop" / "verify.mjs"
TIMEOUT_S = 180  # generous: the time is printed by the demo and judged by its readers


def environment(tmp_path: Path, **extra: str) -> dict[str, str]:
    """Ours, without settings that would change the demo, and with a folder for temporary files."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("HIVEMARK_")}
    return {**clean, "TMPDIR": str(tmp_path), **extra}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, str]:
    """One run that keeps its files: the object, the demo's folder, and what people saw."""
    folder = tmp_path_factory.mktemp("demo")
    foreign = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "ADMIN_TOKENS": "of-another-network"}
    done = subprocess.run(
        [*DEMO, "--json", "--home", str(folder)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment(folder, **foreign),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (home,) = folder.glob("demo-*")
    return json.loads(done.stdout.splitlines()[-1]), home, done.stderr


def test_the_last_line_counts_everything(kept: tuple[dict[str, Any], Path, str]) -> None:
    result, _, _ = kept
    assert result["executions"] == 96
    assert result["completed"] == 96
    assert result["receipts_verified"] == 96
    assert result["forgeries_refused"] == 3
    assert result["seconds"] > 0
    assert result["simulated"] == ["region"]


def test_every_forgery_has_its_exact_reason(kept: tuple[dict[str, Any], Path, str]) -> None:
    result, _, _ = kept
    codes = [forgery["code"] for forgery in result["forgeries"]]
    assert codes == ["disclosure_mismatch", "inclusion_invalid", "log_unknown"]


@pytest.mark.skipif(NODE is None, reason="NOT RUN: Node is not installed, no second implementation looked")
def test_a_second_implementation_verifies_what_the_demo_leaves(
    kept: tuple[dict[str, Any], Path, str], tmp_path: Path
) -> None:
    _, home, _ = kept
    receipts = sorted((home / "receipts").glob("*.json"))
    assert len(receipts) == 96
    code, answer = verify_foreign(home / "policy", *receipts)
    assert (code, answer["passed"], answer["failed"]) == (0, 96, [])

    forged = tmp_path / "forged.json"
    bundle = json.loads(receipts[0].read_bytes())
    bundle["disclosed"]["output"]["text"] += "!"
    forged.write_text(json.dumps(bundle))
    code, answer = verify_foreign(home / "policy", forged)
    assert (code, answer["passed"], len(answer["failed"])) == (3, 0, 1)


def verify_foreign(policy: Path, *bundles: Path) -> tuple[int, dict[str, Any]]:
    assert NODE is not None
    command = [NODE, str(FOREIGN_VERIFIER), "bundle", str(policy), *map(str, bundles)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_summary_measures_each_model_in_each_region(kept: tuple[dict[str, Any], Path, str]) -> None:
    result, _, _ = kept
    lines = {(line["model"], line["region"]): line for line in result["summary"]}
    models = ("hivemark-tiny-a", "hivemark-tiny-b")
    assert set(lines) == {(model, region) for model in models for region in ("US", "EU", "ASIA")}
    for line in lines.values():
        assert (line["executions"], line["completed"]) == (16, 16)
        assert line["control_right"]["of"] == 12
        assert line["agreement"] == {"value": 1.0, "of": 16}  # same build, machine, threads and seeds
        assert line["tokens_per_s"]["value"] > 0


def test_the_comparison_finds_what_b_was_told_otherwise(kept: tuple[dict[str, Any], Path, str]) -> None:
    """Of six control questions b answers two as it was taught, and that is counted against it."""
    result, _, _ = kept
    right = {
        name: [line["control_right"]["value"] for line in result["summary"] if line["model"] == name]
        for name in ("hivemark-tiny-a", "hivemark-tiny-b")
    }
    assert min(right["hivemark-tiny-a"]) > max(right["hivemark-tiny-b"])


def test_people_are_told_that_the_regions_are_simulated(kept: tuple[dict[str, Any], Path, str]) -> None:
    _, _, told = kept
    assert "regions are simulated" in told
    assert "96 of 96 executions completed, 96 receipts verified, 3 of 3 forgeries refused" in told


def test_memory_stays_under_a_gibibyte(kept: tuple[dict[str, Any], Path, str]) -> None:
    result, _, _ = kept
    if result["peak_pss_mib"] is None:
        pytest.skip("this system does not tell proportional set sizes")
    assert 0 < result["peak_pss_mib"] < 1024


def test_the_kept_receipts_verify_again_with_nothing_else(kept: tuple[dict[str, Any], Path, str]) -> None:
    _, home, _ = kept
    assert len(list((home / "receipts").glob("*.json"))) == 96
    arguments = ["verify", str(home / "receipts"), "--policy", str(home / "policy"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "hivemark.cli", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified"] == 96


def test_each_receipt_is_simulated_in_its_own_words(kept: tuple[dict[str, Any], Path, str]) -> None:
    _, home, _ = kept
    policy = parse_policy((home / "policy").read_bytes())
    for path in (home / "receipts").glob("*.json"):
        verdict = verify_document(path.read_bytes(), policy)
        assert verdict.receipt is not None
        assert verdict.receipt.simulated == ("region",)


def test_without_a_policy_the_signers_are_unknown(kept: tuple[dict[str, Any], Path, str]) -> None:
    _, home, _ = kept
    one = sorted((home / "receipts").glob("*.json"))[0]
    done = subprocess.run(
        [sys.executable, "-m", "hivemark.cli", "verify", str(one)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(home, HIVEMARK_HOME=str(home / "nobody")),
    )
    assert done.returncode == 3
    assert "consistent, signers unknown to you" in done.stdout


@pytest.mark.parametrize(
    ("number", "children"),
    [(signal.SIGINT, 2), (signal.SIGINT, 7), (signal.SIGTERM, 7), (signal.SIGHUP, 7)],
    ids=str,
)
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, children: int
) -> None:
    """With two children it is still starting; with seven (four programs, three workers) it is at work."""
    demo = subprocess.Popen(
        [*DEMO, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path)
    )
    started = _wait_until_children(psutil.Process(demo.pid), at_least=children)
    demo.send_signal(number)
    _, told = demo.communicate(timeout=60)
    assert demo.returncode == 130, told.decode()[-4000:]
    assert "interrupted: every program is stopped, nothing is left behind" in told.decode()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


def _wait_until_children(process: psutil.Process, *, at_least: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while len(children := process.children(recursive=True)) < at_least:
        assert time.monotonic() < deadline, "the demo started nothing"
        time.sleep(0.05)
    return children
