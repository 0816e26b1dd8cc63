"""Run by Alembic: applies the revisions on the connection that `bookwheel_accounts.database` hands over."""

from alembic import context

from bookwheel_accounts.database import ACCOUNTS
from bookwheel_accounts.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=ACCOUNTS.version_table,
)
with context.begin_transaction():
    context.run_migrations()
