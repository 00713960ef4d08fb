"""Writes the predicates' JSON Schemas, out of the code, into the package and beside the specification."""

import json
from pathlib import Path

import msgspec

from hivemark.protocol.acceptance import ACCEPTANCE, Acceptance
from hivemark.protocol.enrolment import ENROLMENT, Enrolment
from hivemark.protocol.receipt import RECEIPT, Receipt

REPOSITORY = Path(__file__).parents[2]
FOLDERS = (REPOSITORY / "src/hivemark/protocol/schemas", REPOSITORY / "docs/spec/schemas")
PREDICATES = {
    "receipt.v1": (RECEIPT, Receipt),
    "acceptance.v1": (ACCEPTANCE, Acceptance),
    "enrolment.v1": (ENROLMENT, Enrolment),
}


def render(name: str) -> str:
    """The text of one schema; its id is the predicate's type."""
    uri, shape = PREDICATES[name]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": uri,
        **msgspec.json.schema(shape),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    for folder in FOLDERS:
        for predicate in PREDICATES:
            (folder / f"{predicate}.json").write_text(render(predicate))
