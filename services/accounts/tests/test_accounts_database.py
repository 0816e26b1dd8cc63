"""Tests of the migrations of accounts."""

from alembic.config import Config
from alembic.script import ScriptDirectory
from bookwheel_accounts.tables import ACCOUNTS_SCHEMA


def test_latest_migration_is_the_expected_head() -> None:
    config = Config()
    config.set_main_option("script_location", ACCOUNTS_SCHEMA.migrations)
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == ACCOUNTS_SCHEMA.head
