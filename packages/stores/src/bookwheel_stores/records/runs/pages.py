"""Stores the pages of runs with their outcomes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bookwheel_contracts import FetchedPage, PageOutcome
from sqlalchemy import Connection, Engine, case, delete, select, update

from bookwheel_stores.records.database.connection import dialect_of, read_connection
from bookwheel_stores.records.runs.store import FINAL_STATES, page_column
from bookwheel_stores.records.tables import crawl_page, crawl_run


class StoredPage(NamedTuple):
    """A page of a run; `number` counts from 1 within the run."""

    number: int
    url: str
    outcome: PageOutcome
    reason: str | None
    position: str | None


class RunPageWriter:
    """Stores pages inside the transaction of the caller, which has locked the run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = dialect_of(connection)

    def add(self, run_number: int, pages: Mapping[int, FetchedPage], *, now: int) -> list[FetchedPage]:
        """Stores and counts the pages by number. Returns those that were not stored before."""
        has_number = self._dialect.in_values(crawl_page.c.page_number, list(pages))
        stored = select(crawl_page.c.page_number).where(crawl_page.c.run_number == run_number, has_number)
        new_pages = dict(sorted(pages.items()))
        for number in self._connection.scalars(stored):
            new_pages.pop(number, None)
        rows = [
            {
                "run_number": run_number,
                "page_number": number,
                "outcome": page.outcome.value,
                "url": page.url,
                "reason": page.reason,
                "position": page.position,
            }
            for number, page in new_pages.items()
        ]
        self._dialect.insert_rows(self._connection, crawl_page, rows)
        self._count(run_number, Counter(page.outcome for page in new_pages.values()), now)
        return list(new_pages.values())

    def _count(self, run_number: int, counts: Mapping[PageOutcome, int], now: int) -> None:
        sums: dict[str, Any] = {
            page_column(outcome).name: page_column(outcome) + count for outcome, count in counts.items()
        }
        if sums:
            touched_at = case((crawl_run.c.touched_at < now, now), else_=crawl_run.c.touched_at)
            statement = update(crawl_run).where(crawl_run.c.number == run_number)
            self._connection.execute(statement.values(**sums, touched_at=touched_at))

    def purge(self, *, before: int) -> int:
        """Deletes the pages of runs that ended before `before`. Their counts stay. Returns the number of pages."""
        ended = select(crawl_run.c.number).where(
            crawl_run.c.state.in_([state.value for state in FINAL_STATES]), crawl_run.c.touched_at < before
        )
        return self._connection.execute(delete(crawl_page).where(crawl_page.c.run_number.in_(ended))).rowcount


class RunPageReader:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, run_id: str, *, outcome: PageOutcome | None, after_number: int, limit: int) -> Sequence[StoredPage]:
        """Returns pages of a run in the order of their numbers. `outcome` None selects all."""
        columns = [crawl_page.c[name] for name in ("page_number", "url", "outcome", "reason", "position")]
        query = (
            select(*columns)
            .join(crawl_run, crawl_run.c.number == crawl_page.c.run_number)
            .where(crawl_run.c.run_id == run_id, crawl_page.c.page_number > after_number)
        )
        if outcome is not None:
            query = query.where(crawl_page.c.outcome == outcome.value)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query.order_by(crawl_page.c.page_number).limit(limit)).all()
        return [StoredPage(row[0], row[1], PageOutcome(row[2]), row[3], row[4]) for row in rows]
