"""One holder of a task among all machines that share the records."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

from sqlalchemy import Engine, func, select

from bookwheel_stores.records.database import takes_many_writers


@contextmanager
def lease(engine: Engine, name: str) -> Iterator[bool]:
    """Whether this process got the lease; the database frees it however the process ends.

    Records in SQLite are one machine's, whose processes take turns by themselves.
    """
    if not takes_many_writers(engine):
        yield True
        return
    number = int.from_bytes(blake2b(f"bookwheel.{name}".encode(), digest_size=8).digest(), signed=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(select(func.pg_try_advisory_lock(number))):
            yield False
            return
        try:
            yield True
        finally:
            connection.execute(select(func.pg_advisory_unlock(number)))
