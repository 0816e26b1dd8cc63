"""INSERT … ON CONFLICT DO NOTHING, which SQLite and PostgreSQL spell alike but SQLAlchemy keeps per dialect."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_ignoring(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts the rows; one that is already there, by any unique key, stays as it is."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
    else:
        connection.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)
