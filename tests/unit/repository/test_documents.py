"""What the documents name exists, and no committed file says where it was installed from."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
SOURCE_PATH = re.compile(r"`((?:src/hivemark|tests|docs|bench|tools|deploy)/[A-Za-z0-9_./-]+)`")
MODULE_PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_]+\.py)`")


def documents() -> list[Path]:
    return [ROOT / name for name in committed() if name.endswith(".md")]


def committed() -> list[str]:
    """What git tracks; in an unpacked archive, everything outside hidden folders."""
    if not (ROOT / ".git").exists():
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_path_in_a_document_exists(document: Path) -> None:
    text = document.read_text()
    missing = [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    missing += [path for path in SOURCE_PATH.findall(text) if not (ROOT / path).exists()]
    missing += [path for path in MODULE_PATH.findall(text) if not any_root_has(path)]
    assert missing == []


def any_root_has(path: str) -> bool:
    return any(
        (root / path).exists()
        for root in (ROOT, ROOT / "src", ROOT / "src/hivemark", ROOT / "src/hivemark/coordinator")
    )


def test_no_committed_lock_file_names_a_registry() -> None:
    names = committed()
    assert not [name for name in names if Path(name).name in {"uv.lock", "pylock.toml"}]
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--hash=sha256:" in lock


def test_the_decisions_are_listed() -> None:
    folder = ROOT / "docs/adr"
    listed = (folder / "README.md").read_text()
    assert [path.name for path in sorted(folder.glob("0*.md")) if path.name not in listed] == []
