"""A second implementation, in plain JavaScript, agrees on every vector and on whole bundles.

`node tests/interop/verify.mjs bundle POLICY BUNDLE…` is also how a scenario checks what a network made.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "verify.mjs"
VECTORS = Path(__file__).parents[1] / "vectors"
NODE = shutil.which("node")
NODE_MAJOR_MIN = 20


def node_major() -> int:
    if NODE is None:
        return 0
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, timeout=30, check=True)
    return int(version.stdout.removeprefix("v").split(".")[0])


pytestmark = pytest.mark.skipif(
    node_major() < NODE_MAJOR_MIN,
    reason="NOT RUN: Node 20 or newer is not installed, so the second implementation checked nothing",
)


def run_verifier(*arguments: str | Path) -> tuple[int, dict]:
    done = subprocess.run([NODE, SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def bundle_files(tmp_path: Path) -> dict[str, Path]:
    stored = json.loads((VECTORS / "bundles.json").read_text())
    (tmp_path / "policy.txt").write_text(stored["policy"])
    for case in stored["good"] + stored["forged"]:
        (tmp_path / f"{case['why']}.json").write_text(case["bundle"])
    return {path.stem: path for path in tmp_path.iterdir()}


def test_javascript_agrees_on_every_vector():
    status, result = run_verifier("vectors", VECTORS)
    assert result["failed"] == []
    assert result["passed"] > 350
    assert status == 0


def test_javascript_sees_a_vector_that_is_wrong(tmp_path: Path):
    shutil.copytree(
        VECTORS, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    stored = json.loads((tmp_path / "ed25519.json").read_text())
    stored["cases"][0]["valid"] = False
    (tmp_path / "ed25519.json").write_text(json.dumps(stored))
    status, result = run_verifier("vectors", tmp_path)
    assert status == 3
    assert result["failed"] == ["ed25519 an honest signature: accepted"]


def test_javascript_verifies_bundles_from_files(bundle_files):
    status, result = run_verifier(
        "bundle", bundle_files["policy"], bundle_files["public"], bundle_files["private"]
    )
    assert status == 0
    assert [verdict["outcome"] for verdict in result["verdicts"]] == ["accepted", "accepted"]


def test_javascript_refuses_a_forged_bundle_from_a_file(bundle_files):
    forged = bundle_files["a receipt signed by a fresh key"]
    status, result = run_verifier("bundle", bundle_files["policy"], forged)
    assert status == 3
    assert len(result["failed"]) == 1


def test_javascript_says_whether_the_words_of_a_question_were_compared(bundle_files, tmp_path: Path):
    stored = json.loads((VECTORS / "bundles.json").read_text())
    (tmp_path / "set.json").write_text(stored["question_sets"][0])
    good, forged = bundle_files["a published question"], bundle_files["another question than was published"]
    for file in (good, forged):
        status, result = run_verifier("bundle", bundle_files["policy"], file)
        assert (status, result["verdicts"][0]["question"]) == (0, "not compared: its set is not known here")
    with_set = ("bundle", bundle_files["policy"], "--questions", tmp_path / "set.json")
    status, result = run_verifier(*with_set, good)
    assert (status, result["verdicts"][0]["question"]) == (0, "compared")
    assert run_verifier(*with_set, forged)[0] == 3
