"""The file of this home's API key is closed to others; what is typed wrong is told before it is sent."""

import json
import stat
from pathlib import Path

import pytest
import typer

from hivemark.cli.api_keys import export_lines, openai_environment, parse_duration_s
from hivemark.cli.apikey_file import forget_token, load_token, save_token
from hivemark.client.views import MadeApiKey

TOKEN = "hm_" + "Ab-_" * 10 + "xyz"


def test_the_file_is_its_owners_alone_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    for token in ("hm_" + "0" * 43, TOKEN):
        save_token(path, token)
        assert load_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["api-key"]


@pytest.mark.parametrize(
    "content", [b"", b"hm_short\n", b"\xff" * 46, TOKEN.encode() * 9, b"sk-" + b"A" * 43]
)
def test_a_file_that_holds_no_token_is_refused_without_its_content(
    run, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "home" / "api-key"
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    outcome = run("api-keys", "env")
    assert (
        outcome.code == 1
        and "(api_key_file_malformed)" in outcome.err
        and f"next: remove {path}" in outcome.err
    )
    assert not content or content.decode("latin-1") not in outcome.err


def test_an_exposed_file_is_refused_with_advice(run, tmp_path: Path) -> None:
    path = tmp_path / "home" / "api-key"
    path.parent.mkdir()
    save_token(path, TOKEN)
    path.chmod(0o640)
    outcome = run("api-keys", "env")
    assert "(api_key_file_exposed)" in outcome.err and f"next: chmod 0600 {path}" in outcome.err
    assert TOKEN not in outcome.out + outcome.err


def test_env_is_what_a_shell_and_a_program_take(run, tmp_path: Path) -> None:
    assert "(api_key_file_missing)" in run("api-keys", "env").err
    (tmp_path / "home").mkdir()
    save_token(tmp_path / "home" / "api-key", TOKEN)
    variables = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": TOKEN}
    assert run("api-keys", "env").out.splitlines() == [
        f"export {name}={text}" for name, text in variables.items()
    ]
    assert json.loads(run("api-keys", "env", "--json").out) == variables
    assert (
        export_lines(openai_environment("http://x;rm", "t"))[0] == "export OPENAI_BASE_URL='http://x;rm/v1'"
    )


def test_only_the_file_of_the_revoked_key_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    assert not forget_token(path, TOKEN[:9])
    save_token(path, TOKEN)
    path.chmod(0o644)  # exposed: one more reason to be rid of it
    assert not forget_token(path, "hm_another")
    assert forget_token(path, TOKEN[:9])
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1_800), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "d", "0d", "-1d", "1.5h", "5x", "1d2h", "9999999d", "٣d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration_s(text)


def test_without_an_account_there_is_nobody_to_make_keys_for(run) -> None:
    for command in (["create"], ["ls"], ["revoke", "key_x"]):
        outcome = run("api-keys", *command)
        assert (
            outcome.code == 1
            and "(key_file_missing)" in outcome.err
            and "next: hivemark keys new" in outcome.err
        )


def test_a_made_key_does_not_print_its_token() -> None:
    made = MadeApiKey(
        id="key_1",
        account="a",
        name="n",
        token_start="hm_Ab-_Ab",
        status="active",
        scopes=(),
        spent="0",
        token=TOKEN,
    )
    assert TOKEN not in repr(made) and TOKEN not in str(made)
