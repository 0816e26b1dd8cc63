"""Which offers the complete runs of a source no longer see. Inside the caller's transaction.

An offer is missed by the complete runs that began after it was last seen. Nothing is noted while they miss it, so what
arrives late, twice or out of order leaves nothing behind that would have to be put right.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bookwheel_contracts import RunState
from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from bookwheel_stores.records.tables import crawl_run, held_item, offer, quarantine


class Runs(NamedTuple):
    """Complete runs of one source. What was last seen before `before` was seen by none of them."""

    source: str
    ids: tuple[str, ...]
    numbers: tuple[int, ...]
    before: int


class Absences:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def live(self, source: str) -> int:
        """How many offers the source has."""
        query = select(func.count()).where(offer.c.source == source, offer.c.removed_at.is_(None))
        return self._connection.scalar(query) or 0

    def runs(self, run: Row[Any], *, grace: int) -> Runs | None:
        """The source's last `grace` complete runs, this one of them though it has yet to be told complete.

        None where there are not so many. A run of which an item cannot even be told whose offer it is does not count:
        it could have been any.
        """
        unknown = select(quarantine.c.number).where(
            quarantine.c.run_id == crawl_run.c.run_id, quarantine.c.source_key.is_(None)
        )
        query = (
            select(crawl_run.c.run_id, crawl_run.c.number, crawl_run.c.started_at)
            .where(
                crawl_run.c.source == run.source,
                or_(crawl_run.c.state == RunState.COMPLETE.value, crawl_run.c.number == run.number),
                crawl_run.c.whole_source,
                crawl_run.c.started_at.is_not(None),
                ~unknown.exists(),
            )
            .order_by(crawl_run.c.started_at.desc(), crawl_run.c.number.desc())
            .limit(grace)
        )
        found = self._connection.execute(query).all()
        if len(found) < grace:
            return None
        return Runs(
            source=run.source,
            ids=tuple(row.run_id for row in found),
            numbers=tuple(row.number for row in found),
            before=found[-1].started_at,
        )

    def count(self, runs: Runs) -> int:
        """How many offers all of these runs missed."""
        return self._connection.scalar(select(func.count()).where(_missed(runs))) or 0

    def missed(self, runs: Runs, *, limit: int) -> Sequence[dict[str, Any]]:
        """Some of those offers: `number`, `book_number`, `source`, `source_key`."""
        columns = [offer.c[name] for name in ("number", "book_number", "source", "source_key")]
        query = select(*columns).where(_missed(runs)).order_by(offer.c.number).limit(limit)
        return [dict(row) for row in self._connection.execute(query).mappings()]


def _missed(runs: Runs) -> ColumnElement[bool]:
    """An item that waits, or that the rules refuse, is a sighting nevertheless: the source has a page of the offer."""
    refused = select(quarantine.c.source_key).where(
        quarantine.c.run_id.in_(runs.ids), quarantine.c.source_key.is_not(None)
    )
    waiting = select(held_item.c.source_key).where(held_item.c.run_number.in_(runs.numbers))
    return (
        (offer.c.source == runs.source)
        & offer.c.removed_at.is_(None)
        & (offer.c.last_seen < runs.before)
        & offer.c.last_run.not_in(runs.ids)
        & offer.c.source_key.not_in(refused)
        & offer.c.source_key.not_in(waiting)
    )
