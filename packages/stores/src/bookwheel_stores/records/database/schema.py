"""Tables that Alembic migrates, and whether a database has them in the form that the code expects."""

from dataclasses import dataclass

from sqlalchemy import Engine, column, inspect, select, table

from bookwheel_stores.records.database.connection import read_connection, wait_for_database
from bookwheel_stores.records.database.dialect import dialect_of

_PATIENCE = 600.0
"""Seconds: migrations come first, when the servers of a new suite still make their data."""


class NewerSchemaError(Exception):
    """A newer version of Bookwheel has migrated the tables: this one leaves them alone."""


@dataclass(frozen=True, slots=True)
class Schema:
    """`migrations` is where the revisions are, as `package:folder`; `head` the newest of them: numbers of four digits.

    Alembic is imported when an upgrade is due, not before: it would be a third of a service's start.
    """

    migrations: str
    version_table: str
    head: str

    def upgrade(self, engine: Engine) -> None:
        """Applies the revisions that are missing, all of them or none. Waits for a server that is still starting.

        Idempotent, and safe when several processes start at once, on several machines too. Raises NewerSchema.
        """
        wait_for_database(engine, seconds=_PATIENCE)
        found = self.revision(engine)
        if found == self.head:
            return
        if found is not None and found > self.head:
            raise NewerSchemaError(self.fault(engine))
        from alembic import command  # noqa: PLC0415 - see above
        from alembic.config import Config  # noqa: PLC0415 - see above

        config = Config()
        config.set_main_option("script_location", self.migrations)
        config.set_main_option("path_separator", "os")
        with dialect_of(engine.dialect.name).migration_transaction(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, self.head)

    def revision(self, engine: Engine) -> str | None:
        """Of the tables; None before the first migration."""
        version = table(self.version_table, column("version_num"))
        with read_connection(engine) as connection:
            if not inspect(connection).has_table(self.version_table):
                return None
            return connection.scalar(select(version.c.version_num))

    def is_current(self, engine: Engine) -> bool:
        return self.revision(engine) == self.head

    def fault(self, engine: Engine) -> str | None:
        """Why the tables can't be used, and what to do; None where they can."""
        found = self.revision(engine)
        if found == self.head:
            return None
        if found is None or found < self.head:
            return f"the tables ({self.version_table}) have the form {found or 'none'}, not {self.head}: run `migrate`"
        return (
            f"the tables ({self.version_table}) have the form {found}, and this version of Bookwheel knows none after "
            f"{self.head}: run the newer version again, or restore a backup from before the upgrade"
        )


RECORDS = Schema("bookwheel_stores.records:migrations", "records_version", head="0002")


def upgrade_database(engine: Engine) -> None:
    """Brings the records' tables to their current form."""
    RECORDS.upgrade(engine)


def is_current(engine: Engine) -> bool:
    """Whether the records' tables have the form that this code expects."""
    return RECORDS.is_current(engine)


def schema_fault(engine: Engine) -> str | None:
    """Why the records' tables can't be used, and what to do; None where they can."""
    return RECORDS.fault(engine)
