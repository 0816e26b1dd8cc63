"""How far the feed has come by crawls that are complete."""

from typing import NamedTuple

from bookwheel_contracts import RunState
from sqlalchemy import Engine, exists, func, select

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.tables import crawl_run


class RunChanges(NamedTuple):
    """`last` is the last change of any complete run, 0 before the first; `running`: that one is under way."""

    last: int
    running: bool


def complete_changes(engine: Engine) -> RunChanges:
    last = select(func.max(crawl_run.c.last_change)).where(crawl_run.c.state == RunState.COMPLETE.value)
    running = select(exists().where(crawl_run.c.state == RunState.RUNNING.value))
    with read_connection(engine) as connection:
        return RunChanges(connection.scalar(last) or 0, bool(connection.scalar(running)))
