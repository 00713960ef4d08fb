"""The published schemas are the code's."""

import importlib.util
import sys
from importlib.resources import files
from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2] / "vectors"


def load_maker():
    if "make_schemas" not in sys.modules:
        spec = importlib.util.spec_from_file_location("make_schemas", VECTORS / "make_schemas.py")
        sys.modules["make_schemas"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["make_schemas"])
    return sys.modules["make_schemas"]


@pytest.mark.parametrize("name", list(load_maker().PREDICATES))
def test_schemas_in_package_and_specification_are_those_of_the_code(name):
    expected = load_maker().render(name)
    assert (files("hivemark.protocol") / f"schemas/{name}.json").read_text() == expected
    for folder in load_maker().FOLDERS:
        assert (folder / f"{name}.json").read_text() == expected, "run tests/vectors/make_schemas.py"


def test_unknown_members_are_refused_by_the_schemas_too():
    for name in load_maker().PREDICATES:
        assert '"additionalProperties": false' in load_maker().render(name)
