"""The small pure parts of the shells: what answers mean, what workers inherit, what the agent imports."""

import json
import logging
import subprocess
import sys

import pytest

from hivemark.api.link import ResultAnswer
from hivemark.hive.logs import JsonLines
from hivemark.hive.process import worker_environment
from hivemark.hive.results import PutOff, Refused, Stale, read_answer

HEAVY = ("numpy", "fastapi", "starlette", "uvicorn", "pydantic", "sqlalchemy", "gguf", "aiohttp.web")


@pytest.mark.parametrize(
    ("status", "raw", "retry_after", "meaning"),
    [
        (200, b'{"attempt":"a","outcome":"late"}', None, ResultAnswer(attempt="a", outcome="late")),
        (401, b'{"code":"epoch_stale"}', None, Stale()),
        (404, b'{"code":"unknown_attempt","status":404}', None, Refused("unknown_attempt")),
        (422, b"<html>", None, Refused("status_422")),
        (413, b"", None, Refused("status_413")),
        (503, b'{"code":"log_full"}', "7", PutOff("log_full", 7.0)),
        (429, b"", "99999", PutOff("status_429", 120.0)),
        (502, b"\xff", "soon", PutOff("status_502", None)),
        (302, b"", None, PutOff("status_302", None)),
    ],
)
def test_answers_to_a_result_mean_one_thing(status, raw, retry_after, meaning):
    assert read_answer(status, raw, retry_after) == meaning


def test_a_malformed_acknowledgement_is_none():
    assert isinstance(read_answer(200, b'{"attempt":"a","outcome":"paid"}', None), PutOff)
    assert isinstance(read_answer(200, b"\xff\xfe", None), PutOff)


def test_workers_inherit_nothing_that_the_agent_was_told():
    environment = {
        "PATH": "/bin",
        "PYTHONPATH": "x",
        "LC_ALL": "C",
        "HIVEMARK_HOME": "/h",
        "ADMIN_TOKENS": "secret",
        "DATABASE_URL": "postgres://u:p@h/d",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    assert worker_environment(environment) == {"PATH": "/bin", "PYTHONPATH": "x", "LC_ALL": "C"}


def test_the_agent_imports_nothing_heavy():
    program = f"import sys, hivemark.hive.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.strip() == "[]"


def test_a_log_line_is_one_json_object_whatever_is_in_it():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "worker_ready", (), None)
    record.model = 'a"b\nc'
    line = JsonLines().format(record)
    assert "\n" not in line
    value = json.loads(line)
    assert value["event"] == "worker_ready" and value["model"] == 'a"b\nc' and value["level"] == "info"
