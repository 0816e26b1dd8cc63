"""One holder of a task among all machines that share the records."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

from sqlalchemy import Engine

from bookwheel_stores.records.database.connection import supports_concurrent_writers

_FOR_AS_LONG_AS_IT_TAKES = (
    "SELECT set_config(name, '0', true) FROM pg_settings"
    " WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"  # the latter from PostgreSQL 17 on
)


@contextmanager
def lease(engine: Engine, name: str) -> Iterator[bool]:
    """Whether this process got the lease; the database frees it however the process ends.

    Records in SQLite are one machine's, whose processes take turns by themselves. On PostgreSQL it is a lock of one
    transaction that stays open as long as the work takes, so that a pooler between may give every transaction another
    connection. That transaction has neither a number nor a snapshot, so it keeps no old rows from being vacuumed.
    Raises OperationalError at the end where its connection was lost meanwhile: another may have got the lease.
    """
    if not supports_concurrent_writers(engine):
        yield True
        return
    number = int.from_bytes(blake2b(f"bookwheel.{name}".encode(), digest_size=8).digest(), signed=True)
    with engine.begin() as connection:
        connection.exec_driver_sql(_FOR_AS_LONG_AS_IT_TAKES)
        # the number is no parameter: with one, PostgreSQL keeps the statement's snapshot until the next statement
        yield bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({number})").scalar())
