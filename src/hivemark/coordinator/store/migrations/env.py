"""Alembic's entry: run the steps on the connection, and in the transaction, that `migrate.py` hands over."""

from alembic import context

from hivemark.coordinator.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
)
context.run_migrations()
