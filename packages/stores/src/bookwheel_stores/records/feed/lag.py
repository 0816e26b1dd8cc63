"""Reads the lag of projections and the number of items by verdict."""

from bookwheel_contracts import Verdict
from bookwheel_contracts.status import ProjectionLag
from sqlalchemy import Engine, func, select

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_feed import SEARCH_PROJECTION, feed_head
from bookwheel_stores.records.tables import change, crawl_run, projection
from bookwheel_stores.records.values import to_millis, utc_now

LAKE_PROJECTIONS = ("lake", "lake-books")


class FeedLag:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_projection_lags(self) -> list[ProjectionLag]:
        """Returns the lag of the search index and the lake."""
        now = to_millis(utc_now())
        names = (SEARCH_PROJECTION, *LAKE_PROJECTIONS)
        with read_connection(self._engine) as connection:
            head = feed_head(connection)
            rows = connection.execute(select(projection.c.name, projection.c.sequence))
            cursors = dict.fromkeys(names, 0) | {name: sequence for name, sequence in rows if name in names}
            lags = []
            for name, cursor in cursors.items():
                oldest = select(change.c.changed_at).where(change.c.sequence > cursor).order_by(change.c.sequence)
                changed_at = connection.scalar(oldest.limit(1)) if cursor < head else None
                seconds = 0.0 if changed_at is None else max(0.0, (now - changed_at) / 1000)
                lags.append(ProjectionLag(name=name, head=head, cursor=cursor, seconds=seconds))
        return lags

    def count_items_by_verdict(self) -> dict[str, int]:
        """Returns the number of items of all crawls, by verdict."""
        sums = [func.coalesce(func.sum(crawl_run.c[verdict.value]), 0) for verdict in Verdict]
        with read_connection(self._engine) as connection:
            row = connection.execute(select(*sums)).one()
        return {verdict.value: int(count) for verdict, count in zip(Verdict, row, strict=True)}
