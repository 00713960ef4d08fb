"""JobSpecs made through the real parser."""

from collections.abc import Callable

import pytest

from hivemark.protocol.jobspec import parse_jobspec, sign_jobspec
from hivemark.protocol.jobspec_members import JobSpec
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.strictjson import JsonObject

SpecMaker = Callable[..., JobSpec]


@pytest.fixture(scope="session")
def make_spec() -> SpecMaker:
    """A JobSpec of one question and one model, with the given members instead."""
    key = PrivateKey.from_seed(bytes(32))

    def make(**members: object) -> JobSpec:
        value: JsonObject = {"id": "job", "benchmark": "b", "questions": ["sum-2-plus-3"], "models": ["tiny"]}
        raw = sign_jobspec({**value, **members}, key, now_ms=0, random=lambda size: bytes(size))
        return parse_jobspec(raw).spec

    return make
