"""Applies revisions on the connection of `Schema.upgrade`. Alembic runs this module."""

from alembic import context

from bookwheel_stores.records.database.schema import RECORDS
from bookwheel_stores.records.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=RECORDS.version_table,
)
with context.begin_transaction():
    context.run_migrations()
