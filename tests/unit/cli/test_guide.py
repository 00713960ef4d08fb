"""The guide names commands, options and error codes that exist."""

import re
import shlex
from pathlib import Path

import pytest

from hivemark.cli.commands import COMMANDS
from hivemark.cli.main import load_command

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guide"
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "hivemark").rglob("*.py"))
ENTRIES = {entry.name: entry for entry in COMMANDS}


def typed_commands() -> list[str]:
    """Every line of a code block, and every inline code, that begins with `hivemark` and a command."""
    found = set()
    for page in (*GUIDE.glob("*.md"), ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        found |= set(re.findall(r"`(hivemark [a-z][^`]*)`", text))
        found |= {
            match.partition("  #")[0].strip()
            for match in re.findall(r"^    (?:uv run )?(hivemark .+)$", text, re.M)
        }
    return sorted(found)


def error_codes() -> list[str]:
    rows = re.findall(r"^\| (`[^|]+) \|", (GUIDE / "troubleshooting.md").read_text(encoding="utf-8"), re.M)
    return sorted({code for row in rows for code in re.findall(r"`([a-z_]+)`", row)})


def test_there_is_something_to_check() -> None:
    assert len(typed_commands()) > 25
    assert len(error_codes()) > 20


@pytest.mark.parametrize("line", typed_commands())
def test_a_command_in_the_guide_exists_with_its_options(line: str) -> None:
    _, *words = shlex.split(line)
    if words[0].startswith("-"):
        return
    command = load_command(ENTRIES[words.pop(0)])
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    known |= {"--help"}
    for word in words:
        if re.fullmatch(r"--?[a-z][a-z-]*", word):
            assert word in known, line


@pytest.mark.parametrize("code", error_codes())
def test_an_error_code_in_the_guide_is_raised_somewhere(code: str) -> None:
    assert re.search(rf'"{code}"', SOURCES), code
