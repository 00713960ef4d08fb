"""Bringing a database to the schema of this code: under a lock, in one transaction, never backwards.

The file names in `migrations/versions` are the revisions, in order: `NNNN_pre_…` runs before the code that
needs it is in service, `NNNN_post_…` after the code that needed the old form is gone.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from hivemark.coordinator.store.database import as_known_error
from hivemark.coordinator.store.dialect import begin_alone, commit_alone, parse_database_url, plain_engine
from hivemark.errors import UnavailableError

_FOLDER: Final = Path(__file__).parent / "migrations"
REVISIONS: Final = tuple(sorted(path.stem for path in (_FOLDER / "versions").glob("[0-9]*.py")))


class SchemaNewer(UnavailableError):
    """The database was made by a newer version of Hivemark."""

    retryable = False


class SchemaMissing(UnavailableError):
    """The database has not been brought to this version's schema."""

    retryable = False


def migrate(url: str) -> str:
    """Bring the database to the newest schema of this code and answer its revision.

    Safe to call from several programs at once. Raises `SchemaNewer` and leaves the database as it was.
    """
    engine = plain_engine(parse_database_url(url))
    try:
        with engine.connect() as connection:
            begin_alone(connection)
            if _require_known(schema_revision(connection)) != REVISIONS[-1]:
                _upgrade(connection)
            commit_alone(connection)
    except DBAPIError as error:
        raise as_known_error(error) from error
    finally:
        engine.dispose()
    return REVISIONS[-1]


def require_schema(url: URL) -> None:
    """Raise `SchemaMissing` or `SchemaNewer` unless the database stands at this code's schema."""
    engine = plain_engine(url)
    try:
        with engine.connect() as connection:
            revision = _require_known(schema_revision(connection))
    except DBAPIError as error:
        raise as_known_error(error) from error
    finally:
        engine.dispose()
    if revision != REVISIONS[-1]:
        raise SchemaMissing(code="schema_missing", hint="run `hivemark up`, which migrates")


def schema_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()


def _require_known(revision: str | None) -> str | None:
    if revision is not None and revision not in REVISIONS:
        raise SchemaNewer(
            f"the database is at revision {revision}, this program knows up to {REVISIONS[-1]}",
            code="schema_newer",
            hint="install the newer version again, or restore a backup that this version made",
        )
    return revision


def _upgrade(connection: Connection) -> None:
    # Alembic is slow to import and only needed when there is something to do.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
