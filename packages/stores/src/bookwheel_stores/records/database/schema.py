"""Migrates a schema with Alembic, and checks that a database has the revision that the code expects."""

from dataclasses import dataclass

from sqlalchemy import Engine, column, inspect, select, table

from bookwheel_stores.records.database.connection import dialect_of, read_connection, wait_for_database

_WAIT_SECONDS = 600.0
"""Migrations run first, when the database server of a new suite is still starting."""


class NewerSchemaError(Exception):
    """A newer version of Bookwheel has migrated the tables, so this version must not use them."""


@dataclass(frozen=True, slots=True)
class Schema:
    """`migrations` is the place of the revisions, as `package:folder`; `head` is the newest, a number of four digits.

    Alembic is imported for an upgrade only: its import takes a third of a service's start.
    """

    migrations: str
    version_table: str
    head: str

    def upgrade(self, engine: Engine) -> None:
        """Applies the missing revisions, all or none. Waits for a server that is still starting.

        Idempotent, and safe for several processes on several machines at the same time. Raises NewerSchemaError.
        """
        wait_for_database(engine, seconds=_WAIT_SECONDS)
        revision = self.revision(engine)
        if revision == self.head:
            return
        if revision is not None and revision > self.head:
            raise NewerSchemaError(self.fault(engine))
        from alembic import command  # noqa: PLC0415 - see above
        from alembic.config import Config  # noqa: PLC0415 - see above

        config = Config()
        config.set_main_option("script_location", self.migrations)
        config.set_main_option("path_separator", "os")
        with dialect_of(engine).migration_transaction(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, self.head)

    def revision(self, engine: Engine) -> str | None:
        """The revision of the tables; None before the first migration."""
        version = table(self.version_table, column("version_num"))
        with read_connection(engine) as connection:
            if not inspect(connection).has_table(self.version_table):
                return None
            return connection.scalar(select(version.c.version_num))

    def is_current(self, engine: Engine) -> bool:
        return self.revision(engine) == self.head

    def fault(self, engine: Engine) -> str | None:
        """Why the tables cannot be used, and what to do; None if they can."""
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


RECORDS = Schema("bookwheel_stores.records:migrations", "records_version", head="0004")


def upgrade_database(engine: Engine) -> None:
    """Migrates the records' tables to the current revision."""
    RECORDS.upgrade(engine)


def is_current(engine: Engine) -> bool:
    """Whether the records' tables have the revision that this code expects."""
    return RECORDS.is_current(engine)


def schema_fault(engine: Engine) -> str | None:
    """Why the records' tables cannot be used, and what to do; None if they can."""
    return RECORDS.fault(engine)
