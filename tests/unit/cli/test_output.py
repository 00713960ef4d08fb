"""What people see fits their terminal, and what they copy stays whole."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from hivemark.cli.hives import hives_table
from hivemark.cli.output import Output, plain_table, to_the_minute
from hivemark.client.views import Hive, HiveModel

HIVE = "hive_ihlargb7b63agyyhpdqvqoxjsb"


def spoken(columns: int, *, is_terminal: bool = True) -> tuple[Output, io.StringIO]:
    paper = io.StringIO()
    console = Console(file=paper, width=columns, force_terminal=is_terminal, color_system=None)
    return Output(as_json=False, people=console), paper


def shown(table: Table, columns: int) -> list[str]:
    output, paper = spoken(columns)
    output.show(table)
    return [line.rstrip() for line in paper.getvalue().splitlines()]


def test_a_long_line_is_broken_between_words_and_set_further_in() -> None:
    output, paper = spoken(30)
    sentence = "8 questions × 2 models × 3 regions × 2 repeats = 96 executions"
    output.say(f"  {sentence}")
    lines = paper.getvalue().splitlines()
    assert lines[0].startswith("  8 questions")
    assert all(line.startswith("    ") for line in lines[1:])
    assert all(len(line) <= 30 for line in lines)
    assert " ".join(paper.getvalue().split()) == sentence


def test_what_stands_in_a_second_column_goes_on_there() -> None:
    output, paper = spoken(30)
    output.say("    checkpoint   signed by this log, cosigned by nobody")
    assert all(line.startswith(" " * 17) for line in paper.getvalue().splitlines()[1:])


def test_what_is_to_be_copied_and_what_a_program_reads_stays_one_line() -> None:
    command = f"hivemark join 'hivemark://127.0.0.1:8090/join?t={'x' * 60}'"
    for output, paper in (spoken(40), spoken(40, is_terminal=False)):
        output.say(command, whole=True)
        assert paper.getvalue() == command + "\n"
    output, paper = spoken(40, is_terminal=False)
    output.say("prose " * 20)
    assert len(paper.getvalue().splitlines()) == 1


@pytest.mark.parametrize("columns", [80, 140])
def test_a_hive_s_id_and_models_are_readable(columns: int) -> None:
    models = tuple(HiveModel(name=name) for name in ("hivemark-tiny-a", "hivemark-tiny-b"))
    hive = Hive(id=HIVE, name="workshop", status="active", linked=True, slots=2, running=1, models=models)
    text = "\n".join(shown(hives_table((hive,)), columns))
    for whole in (HIVE, "hivemark-tiny-b", "linked", "1/2"):
        assert whole in text


def test_a_public_key_is_shown_whole_on_80_columns_with_all_beside_it() -> None:
    table = plain_table("id", "public key", "status", "since")
    key, since = "/voK7VOT4cZnKmz5BtvniawqN3F2IBKf8YgsFUQcxdQ=", to_the_minute("2026-11-20T21:37:13.413Z")
    table.add_row("home", key, "active", since)
    assert f"home  {key}  active  2026-11-20 21:37" in shown(table, 80)


def test_what_is_said_is_one_line_whatever_it_quotes() -> None:
    output, paper = spoken(200, is_terminal=False)
    output.say("refused: a member\n✓ receipt.json\x1b[1A")
    assert paper.getvalue() == "refused: a member ✓ receipt.json\ufffd[1A\n"
