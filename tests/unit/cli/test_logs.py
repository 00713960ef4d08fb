"""The logs of a home, for people and for programs."""

import json
from pathlib import Path

LINE = '{"event": "ready", "level": "info"}'


def with_logs(home: Path) -> Path:
    folder = home / "logs"
    folder.mkdir(parents=True)
    (folder / "coordinator.log").write_text(f"{LINE}\nTraceback: no object\n", encoding="utf-8")
    (folder / "hive.log").write_text(f"{LINE}\n", encoding="utf-8")
    return home


def test_each_line_names_its_program(run, tmp_path: Path) -> None:
    outcome = run("logs", "--home", str(with_logs(tmp_path)))
    assert outcome.out.splitlines() == [
        f"coordinator: {LINE}",
        "coordinator: Traceback: no object",
        f"hive: {LINE}",
    ]


def test_with_json_each_line_is_an_object_whatever_the_program_wrote(run, tmp_path: Path) -> None:
    outcome = run("logs", "coordinator", "--json", "--home", str(with_logs(tmp_path)))
    assert [json.loads(line) for line in outcome.out.splitlines()] == [
        {"program": "coordinator", "event": "ready", "level": "info"},
        {"program": "coordinator", "text": "Traceback: no object"},
    ]


def test_no_log_yet_says_what_to_do(run) -> None:
    outcome = run("logs")
    assert (outcome.code, "next: hivemark up" in outcome.err) == (1, True)
