"""Brings the tables of accounts to their current form."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from bookwheel_stores.records import reading
from sqlalchemy import Engine

VERSION_TABLE = "accounts_version"
"""Its own, since accounts lives beside the records in one database and each migrates by itself."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "bookwheel_accounts:migrations")
    config.set_main_option("path_separator", "os")
    return config


def upgrade_database(engine: Engine) -> None:
    """Applies the revisions that are missing. Idempotent, and safe when two processes start at once."""
    if is_current(engine):
        return
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Whether the tables have the form that this code expects."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision() == ScriptDirectory.from_config(_config()).get_current_head()
