"""`hivemark verify` on files: genuine, forged, unreadable, many at once."""

import json
from pathlib import Path

import pytest

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bundles.json").read_text(encoding="utf-8"))
GOOD = VECTORS["good"][0]["bundle"]
FORGED = VECTORS["forged"][0]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "receipts"
    folder.mkdir()
    (tmp_path / "policy").write_text(VECTORS["policy"], encoding="utf-8")
    (folder / "good.json").write_text(GOOD, encoding="utf-8")
    return folder


def verify(run, path: Path, *more: str):
    return run("verify", str(path), "--policy", str(path.parent / "policy"), *more)


def test_a_folder_of_genuine_receipts_verifies(run, files: Path) -> None:
    outcome = verify(run, files)
    assert (outcome.code, "1 of 1 verified" in outcome.out) == (0, True)
    assert "inclusion" in outcome.out


def test_one_forgery_among_many_ends_with_3_and_its_name(run, files: Path) -> None:
    (files / "forged.json").write_text(FORGED["bundle"], encoding="utf-8")
    outcome = verify(run, files)
    assert outcome.code == 3
    assert "1 of 2 verified, 1 refused" in outcome.out
    assert "forged.json" in outcome.out
    assert FORGED["code"] in outcome.out


def test_lines_are_documents_of_their_own(run, files: Path) -> None:
    lines = "\n".join(json.dumps(json.loads(text)) for text in (GOOD, FORGED["bundle"]))
    (files / "all.ndjson").write_text(lines, encoding="utf-8")
    outcome = verify(run, files, "--json")
    told = json.loads(outcome.out)
    assert (outcome.code, told["documents"], told["verified"]) == (3, 3, 2)
    assert [result["verified"] for result in told["results"]] == [True, False, True]
    assert told["results"][1]["file"].endswith("all.ndjson:2")


def test_without_a_policy_nobody_is_known(run, files: Path) -> None:
    outcome = run("verify", str(files))
    assert outcome.code == 3
    assert "consistent, signers unknown to you" in outcome.out
    assert "--policy" in outcome.out


def test_the_pinned_policy_of_the_home_is_used(run, files: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "policy").write_text(VECTORS["policy"], encoding="utf-8")
    assert run("verify", str(files)).code == 0


@pytest.mark.parametrize("raw", [b"", b"not json", b"{}", b"\xff", b'{"bundle":"hivemark.dev/bundle/v1"}'])
def test_what_is_no_receipt_is_not_verified(run, files: Path, raw: bytes) -> None:
    (files / "good.json").write_bytes(raw)
    assert verify(run, files).code == 3


def test_nothing_to_check_is_a_misuse(run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("verify", str(tmp_path / "empty")).code == 2
    assert run("verify", str(tmp_path / "nowhere.json")).code == 2


def test_a_file_without_end_is_refused_after_its_limit(run, files: Path) -> None:
    (files / "endless.json").symlink_to("/dev/zero")
    outcome = verify(run, files)
    assert outcome.code == 3
    assert "1 of 2 verified, 1 refused" in outcome.out
    assert "the limit is 16777216" in outcome.out
