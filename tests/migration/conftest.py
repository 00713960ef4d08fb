"""Empty databases of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hivemark.testing.postgres import PostgresServer, create_database, drop_database, given_server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    given = given_server()
    if given is None:
        with PostgresServer() as server:
            yield server.url("postgres").render_as_string(hide_password=False)
        return
    url = create_database(given, "hivemark_test_migration")
    yield url.render_as_string(hide_password=False)
    drop_database(given, "hivemark_test_migration")
