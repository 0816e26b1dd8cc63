"""Migrates a schema with Alembic, and compares the revision of a database with the expected revision."""

from dataclasses import dataclass

from sqlalchemy import Engine, column, inspect, select, table

from bookwheel_stores.records.database.connection import dialect_of, read_connection, wait_for_database

_WAIT_SECONDS = 600.0
"""Migrations run at the start of a new suite, when the database server may still be starting."""


class NewerSchemaError(Exception):
    """A newer release of Bookwheel has migrated the tables, so this release must not use them."""


@dataclass(frozen=True, slots=True)
class Schema:
    """`migrations` is the location of the revisions as `package:folder`. `head` is the newest revision.

    Alembic is imported only for an upgrade, because its import takes a third of the start time of a service.
    """

    migrations: str
    version_table: str
    head: str

    def upgrade(self, engine: Engine) -> None:
        """Applies the missing revisions in one transaction. Waits for a server that is still starting.

        Idempotent, and safe if several processes run it concurrently. Raises NewerSchemaError.
        """
        wait_for_database(engine, seconds=_WAIT_SECONDS)
        revision = self.revision(engine)
        if revision == self.head:
            return
        if revision is not None and revision > self.head:
            raise NewerSchemaError(self.get_error(engine))
        from alembic import command  # noqa: PLC0415 - see above
        from alembic.config import Config  # noqa: PLC0415 - see above

        config = Config()
        config.set_main_option("script_location", self.migrations)
        config.set_main_option("path_separator", "os")
        with dialect_of(engine).migration_transaction(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, self.head)

    def revision(self, engine: Engine) -> str | None:
        """Returns the revision of the tables; None before the first migration."""
        version = table(self.version_table, column("version_num"))
        with read_connection(engine) as connection:
            if not inspect(connection).has_table(self.version_table):
                return None
            return connection.scalar(select(version.c.version_num))

    def is_current(self, engine: Engine) -> bool:
        """Returns whether the tables have the newest revision."""
        return self.revision(engine) == self.head

    def get_error(self, engine: Engine) -> str | None:
        """Returns why the tables are unusable and what to do; None if they are usable."""
        revision = self.revision(engine)
        if revision == self.head:
            return None
        if revision is None or revision < self.head:
            current = revision or "none"
            return f"the tables ({self.version_table}) are at revision {current}, not {self.head}: run `migrate`"
        return (
            f"the tables ({self.version_table}) are at revision {revision}, and this version of Bookwheel supports up "
            f"to {self.head}: run the newer version again, or restore a backup from before the upgrade"
        )


RECORDS = Schema("bookwheel_stores.records:migrations", "records_version", head="0005")


upgrade_database = RECORDS.upgrade
is_current = RECORDS.is_current
get_schema_error = RECORDS.get_error
