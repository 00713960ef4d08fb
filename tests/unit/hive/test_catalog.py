"""Digests of model files: computed once, computed again when the file changes."""

import hashlib
import os

import pytest

from hivemark.errors import InvalidError
from hivemark.hive import catalog
from hivemark.hive.catalog import DigestCache, build_catalog
from hivemark.hive.config import ModelFile
from hivemark.models_shipped import shipped


def test_shipped_models_come_first_with_their_pinned_digests(tmp_path):
    found = build_catalog(tmp_path, (), with_shipped=True)
    assert [(m.name, m.weights_sha256) for m in found] == [(m.name, m.weights_sha256) for m in shipped()]


def test_a_file_is_hashed_once_and_again_after_it_changed(tmp_path, monkeypatch):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"first")
    hashed = []
    real = catalog._hash_file
    monkeypatch.setattr(catalog, "_hash_file", lambda p: hashed.append(p) or real(p))
    files = (ModelFile(name="m", path=str(path)),)
    for _ in range(3):
        (model,) = build_catalog(tmp_path, files, with_shipped=False)
    assert model.weights_sha256 == hashlib.sha256(b"first").hexdigest() and len(hashed) == 1
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    (model,) = build_catalog(tmp_path, files, with_shipped=False)
    assert model.weights_sha256 == hashlib.sha256(b"other").hexdigest() and len(hashed) == 2


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"x": 1}', b"\xff"])
def test_a_broken_cache_costs_time_and_nothing_else(content, tmp_path):
    (tmp_path / "c").write_bytes(content)
    path = tmp_path / "m"
    path.write_bytes(b"first")
    assert DigestCache(tmp_path / "c").digest(path) == hashlib.sha256(b"first").hexdigest()


def test_a_missing_file_and_a_name_used_twice_are_named(tmp_path):
    with pytest.raises(InvalidError) as refused:
        build_catalog(tmp_path, (ModelFile(name="m", path="/none"),), with_shipped=False)
    assert refused.value.field == "models[0].path"
    (tmp_path / "m").write_bytes(b"x")
    taken = ModelFile(name=shipped()[0].name, path=str(tmp_path / "m"))
    with pytest.raises(InvalidError) as refused:
        build_catalog(tmp_path, (taken,), with_shipped=True)
    assert refused.value.code == "model_name_taken"
