"""The catalogue tells the truth about the files beside it."""

import hashlib
import subprocess
import sys

from hivemark.models_shipped import shipped


def test_the_catalogue_pins_the_bytes_that_are_shipped() -> None:
    for model in shipped():
        raw = model.path.read_bytes()
        assert hashlib.sha256(raw).hexdigest() == model.weights_sha256
        assert len(raw) == model.size_bytes
        assert model.card.read_text(encoding="utf-8").startswith("# ")


def test_the_names_are_the_published_ones_and_the_first_is_the_default() -> None:
    assert [model.name for model in shipped()] == ["hivemark-tiny-a", "hivemark-tiny-b"]


def test_reading_the_catalogue_does_not_import_numpy() -> None:
    code = "import sys; from hivemark.models_shipped import shipped; shipped(); print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"
