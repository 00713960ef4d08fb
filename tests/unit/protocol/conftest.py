"""The network of the shared vectors, for tests that change one thing in it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture(scope="session")
def chain() -> ModuleType:
    """`tests/vectors/chain.py`: fixed keys, and a signed job with its receipt, entry and bundle."""
    if "chain" not in sys.modules:
        spec = importlib.util.spec_from_file_location("chain", VECTORS / "chain.py")
        sys.modules["chain"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["chain"])
    return sys.modules["chain"]
