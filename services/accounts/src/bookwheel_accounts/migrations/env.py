"""Run by Alembic: applies the revisions with the connection of `Schema.upgrade`."""

from alembic import context

from bookwheel_accounts.tables import ACCOUNTS_SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=ACCOUNTS_SCHEMA.version_table,
)
with context.begin_transaction():
    context.run_migrations()
