"""The stores under contract: SQLite in a file of its own, PostgreSQL in a database of its own per test."""

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from hivemark.coordinator.store import SqlStore, migrate, open_store
from hivemark.testing.postgres import PostgresServer, create_database, drop_database, given_server

from .world import World

_TEMPLATE = f"hivemark_template_{os.getpid()}"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "store.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A server with a migrated template database."""
    given = given_server()
    if given is not None:
        yield from _with_template(given)
        return
    with PostgresServer() as server:
        yield from _with_template(server.url("postgres"))


def _with_template(server: URL) -> Iterator[URL]:
    template = create_database(server, _TEMPLATE)
    migrate(template.render_as_string(hide_password=False))
    yield server
    drop_database(server, _TEMPLATE)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database with the schema."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: URL = request.getfixturevalue("postgres")
    name = f"hivemark_test_{os.getpid()}_{next(_numbers)}"
    url = create_database(server, name, template=_TEMPLATE)
    yield url.render_as_string(hide_password=False)
    drop_database(server, name)


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    opened = open_store(database_url, network="test")
    yield opened
    opened.close()


@pytest.fixture
def world(store: SqlStore) -> Iterator[World]:
    """A funded account and a hive that offers the model of its jobs; the books are audited afterwards."""
    world = World(store)
    yield world
    world.audit()
