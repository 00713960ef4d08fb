"""A person talks to a model in a terminal, and a program asks it one question."""

import json
import stat
from pathlib import Path

import pytest


def test_a_talk_over_several_turns(engine, terminal, tmp_path: Path) -> None:
    chat = terminal("chat", "--url", engine.url)
    chat.expect("> ")
    chat.type("Hello [[answer=Good morning, friend.]]\r")
    chat.expect("Good morning, friend.")
    shown = chat.expect("> ")
    assert "scripted · 3 tokens" in shown
    assert "first token after" in shown
    chat.type("And [[answer=again?]]\r")
    chat.expect("again?")
    chat.expect("> ")
    chat.type("/tokens\r")
    assert "2 answers: 13 tokens read, 4 written" in chat.expect("> ")  # 4, then 4 + 3 + 2: the talk is sent
    chat.type("/new\r")
    chat.expect("a new conversation")
    chat.type("/models\r")
    chat.expect("* scripted")
    chat.type("/model other\r")
    chat.expect("model other is not offered (model_not_found)")
    chat.type("/frobnicate\r")
    chat.expect("next: /help lists what there is")
    chat.type("/receipt\r")
    chat.expect("there is no answer yet")
    chat.type("Hello [[answer=kept]]\r")
    chat.expect("first token")
    chat.type("/receipt\r")
    chat.expect("the last answer has no receipt")
    saved = tmp_path / "talk.json"
    chat.type(f"/save {saved}\r")
    chat.expect("saved 1 answers")
    chat.type("/quit\r")
    assert chat.end() == 0
    assert json.loads(saved.read_text())["turns"][0]["answer"] == "kept"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_what_was_typed_is_there_the_next_time_for_its_owner_alone(engine, terminal, tmp_path: Path) -> None:
    first = terminal("chat", "--url", engine.url)
    first.expect("> ")
    first.type("Remember me\r")
    first.expect("first token")
    first.type("\x04")
    assert first.end() == 0
    history = tmp_path / "home" / "chat-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    second = terminal("chat", "--url", engine.url)
    second.expect("> ")
    second.type("\x1b[A")  # arrow up
    second.expect("Remember me")
    second.type("\r")
    second.expect("first token")
    second.type("/quit\r")
    assert second.end() == 0


def test_no_history_leaves_no_trace(engine, terminal, tmp_path: Path) -> None:
    chat = terminal("chat", "--url", engine.url, "--no-history")
    chat.expect("> ")
    chat.type("A secret\r")
    chat.expect("first token")
    chat.type("/quit\r")
    assert chat.end() == 0
    assert not (tmp_path / "home").exists()


def test_ctrl_c_stops_the_answer_and_the_worker_and_not_the_chat(engine, terminal) -> None:
    chat = terminal("chat", "--url", engine.url, "--no-history")
    chat.expect("> ")
    chat.type("Talk [[fault=endless]]\r")
    chat.expect("more more")
    assert engine.is_busy()
    chat.interrupt()
    chat.expect("stopped")
    engine.wait_until(lambda: not engine.is_busy())
    chat.expect("> ")
    chat.interrupt()
    chat.expect("Ctrl-D or /quit leaves")
    chat.type("Hello [[answer=Still here.]]\r")
    chat.expect("Still here.")
    chat.type("/quit\r")
    assert chat.end() == 0


def test_ctrl_c_before_the_first_token_forgets_the_question_but_retry_knows_it(engine, terminal) -> None:
    chat = terminal("chat", "--url", engine.url, "--no-history")
    chat.expect("> ")
    chat.type("Wait [[fault=hang_before]] [[fault_times=1]]\r")
    chat.expect("waiting for the first token, 2 s (Ctrl-C stops)")
    chat.interrupt()
    chat.expect("stopped")
    chat.type("/tokens\r")
    chat.expect("0 answers")
    chat.type("/retry\r")
    chat.expect("12 tokens")
    chat.type("/quit\r")
    assert chat.end() == 0


def test_foreign_control_characters_act_on_nothing(engine, ask) -> None:
    told, _ = ask("--url", engine.url, "Hi [[answer=red \x1b[31mtext\x07 \u202eback]]")
    assert told == "red \ufffd[31mtext\ufffd \ufffdback\n"


def test_one_question_has_the_answer_alone_on_stdout(engine, ask) -> None:
    told, figures = ask("--url", engine.url, "Hello [[answer=Paris.]]")
    assert told == "Paris.\n"
    assert figures.startswith("scripted · 1 tokens")


def test_a_question_comes_through_a_pipe(engine, ask) -> None:
    assert ask("--url", engine.url, stdin=b"Hi [[answer=piped]]")[0] == "piped\n"
    assert ask("--url", engine.url, "Say:", "-", stdin=b"[[answer=both]]")[0] == "both\n"


def test_with_json_the_answer_is_openai_s(engine, ask) -> None:
    told, _ = ask("--url", engine.url, "--json", "--system", "Be brief.", "Hello [[answer=Paris is it.]]")
    value = json.loads(told)
    assert value["object"] == "chat.completion"
    assert value["choices"][0]["message"]["content"] == "Paris is it."
    assert value["usage"]["prompt_tokens"] == 6
    assert value["hivemark"]["execution"] is None


def test_sampling_reaches_the_engine(engine, ask) -> None:
    told, figures = ask("--url", engine.url, "--max-tokens", "2", "--seed", "3", "-t", "0.5", "Hello")
    assert len(told.split()) == 2
    assert "cut at the limit of tokens" in figures


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("[[fault=half_line]]", "stream_broken"),
        ("[[fault=wrong_type]]", "answer_malformed"),
        ("[[fault=garbage_json]]", "event_malformed"),
        ("[[fault=garbage_shape]]", "event_malformed"),
        ("[[fault=garbage_utf8]]", "event_malformed"),
        ("[[fault=huge_line]]", "event_too_large"),
        ("[[fault=crash_before]]", "connection_broken"),
        ("[[fault=error_status]] [[status=503]]", "scripted"),
    ],
)
def test_a_fault_is_an_error_with_a_name(engine, ask, question: str, code: str) -> None:
    _, told = ask("--url", engine.url, f"Hi {question}", code=1)
    assert f"({code})" in told
    assert "next: " in told


@pytest.mark.parametrize(("stdin", "code"), [(b"\xff\xfe", 1), (b"  \n", 2), (b"x" * 1_048_577, 1)])
def test_what_is_no_question_is_refused(engine, ask, stdin: bytes, code: int) -> None:
    told, said = ask("--url", engine.url, stdin=stdin, code=code)
    assert (told, "error: " in said) == ("", True)


def test_nobody_there_says_what_to_do(ask) -> None:
    _, told = ask("--url", "http://127.0.0.1:9", "Hello", code=1)
    assert "nothing answers at http://127.0.0.1:9" in told
    assert "next: hivemark up" in told
