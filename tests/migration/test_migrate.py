"""Migrations lead to the schema of `tables.py`, under a lock, and never touch what a newer program made."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from hivemark.coordinator.store import SchemaMissing, SchemaNewer, migrate, open_store, tables
from hivemark.coordinator.store.dialect import begin_alone, commit_alone, parse_database_url, plain_engine
from hivemark.coordinator.store.migrate import REVISIONS, schema_revision
from hivemark.coordinator.store.tables import metadata
from hivemark.errors import ConflictError

MIGRATIONS = Path(tables.__file__).parent / "migrations"


def test_migrating_gives_the_schema_of_the_code(empty_url: str) -> None:
    assert migrate(empty_url) == REVISIONS[-1]
    engine = plain_engine(parse_database_url(empty_url))
    with engine.connect() as connection:
        assert schema_revision(connection) == REVISIONS[-1]
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        found = inspect(connection)
        for table in metadata.sorted_tables:
            stated = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
            assert {check["name"] for check in found.get_check_constraints(table.name)} == stated
    engine.dispose()


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    migrate(empty_url)
    open_store(empty_url, network="test").close()
    migrate(empty_url)
    store = open_store(empty_url, network="test", create=False)
    assert store.log_state().size == 0
    store.close()


def test_several_programs_may_migrate_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(migrate, [empty_url] * 4)) == [REVISIONS[-1]] * 4


def test_a_newer_schema_is_refused_and_left_alone(empty_url: str) -> None:
    migrate(empty_url)
    engine = plain_engine(parse_database_url(empty_url))
    with engine.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_pre_future'"))
        connection.commit()
    with pytest.raises(SchemaNewer) as refused:
        migrate(empty_url)
    assert refused.value.hint
    with pytest.raises(SchemaNewer):
        open_store(empty_url, network="test", create=False)
    with engine.connect() as connection:
        assert schema_revision(connection) == "9999_pre_future"
    engine.dispose()


def test_a_database_without_schema_is_not_opened_unasked(empty_url: str) -> None:
    with pytest.raises(SchemaMissing):
        open_store(empty_url, network="test", create=False)


def test_a_database_belongs_to_one_network(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    open_store(url, network="one").close()
    with pytest.raises(ConflictError) as refused:
        open_store(url, network="two")
    assert refused.value.code == "network_differs"


def test_revisions_say_their_order_and_their_time() -> None:
    assert [name[:4] for name in REVISIONS] == [f"{n:04}" for n in range(1, len(REVISIONS) + 1)]
    assert all(name[5:].startswith(("pre_", "post_")) for name in REVISIONS)


def test_a_database_of_the_first_version_keeps_its_jobs(empty_url: str) -> None:
    engine = plain_engine(parse_database_url(empty_url))
    with engine.connect() as connection:
        begin_alone(connection)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001_pre_initial")
        connection.execute(
            text(
                "INSERT INTO jobs (id, account, signer, spec_id, spec_sha256, body_sha256, benchmark,"
                " visibility, requester, min_success_rate, min_regions, state, version, event_seq,"
                " created_ms, deadline_ms) VALUES ('job_1', 'acct', 'k', 's', 'd', 'b', 'noop', 'public',"
                " 'r', 1.0, 1, 'enqueued', 1, 0, 1, 2)"
            )
        )
        commit_alone(connection)
    migrate(empty_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id, api_key FROM jobs")).all() == [("job_1", None)]
    engine.dispose()
