"""Which offers the complete runs of a source no longer see. Inside the caller's transaction.

An offer is gone when the source's last complete runs, as many as its grace, began after it was last seen. That is read
from the runs and the sightings as they are, so it is the same in whatever order they became known.

Offers of other sites, to which single runs were led, are none that those runs could have seen.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from bookwheel_contracts import RunState
from bookwheel_contracts.crawls import SITE_MARK
from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from bookwheel_stores.records.database.bulk import in_values
from bookwheel_stores.records.runs.approvals import HAS_ENDED, expectations
from bookwheel_stores.records.runs.store import ApprovalState
from bookwheel_stores.records.tables import crawl_run, held_item, offer, quarantine

_LONGEST_GRACE = 100  # that a source can declare


class CompleteRuns(NamedTuple):
    """The last complete runs of one source, the latest first. What was last seen before `before` was seen by none of
    them, but what one of them saw under a clock that goes behind. `ended_at` is of the latest."""

    source: str
    ids: tuple[str, ...]
    numbers: tuple[int, ...]
    before: int
    ended_at: int

    def is_missing(self, seen_at: int, run_id: str) -> bool:
        """Whether they miss an offer that was last seen then."""
        return seen_at < self.before and run_id not in self.ids


class MissingOffers:
    """`grace`: how many complete runs in a row miss an offer that is gone, where the source does not declare it."""

    def __init__(self, connection: Connection, *, grace: int) -> None:
        self._connection = connection
        self._grace = grace

    def count_live(self, source: str, site: str | None = None) -> int:
        """How many offers the source has on its own sites, or on another one that runs were led to."""
        is_there = ~_IS_ELSEWHERE if site is None else _begins(f"{SITE_MARK}{site}~")
        query = select(func.count()).where(offer.c.source == source, offer.c.removed_at.is_(None), is_there)
        return self._connection.scalar(query) or 0

    def complete_runs(self, source: str, *, ending: int | None = None, grace: int | None = None) -> CompleteRuns | None:
        """The source's last complete runs, those among them that are yet to be told complete: the run of the number
        `ending`, and all that may touch the catalog by their end, so that of several that end at once none undoes
        what another does. None where there are fewer than the grace that the latest of them declares, or than `grace`.

        A run of which an item cannot even be told whose offer it is does not count: it could have been any.
        """
        unknown = select(quarantine.c.number).where(
            quarantine.c.run_id == crawl_run.c.run_id, quarantine.c.source_key.is_(None)
        )
        found = self._connection.execute(
            _latest_runs(source, ending).where(~unknown.exists()).limit(grace or _LONGEST_GRACE)
        ).all()
        if not found:
            return None
        wanted = grace or expectations(found[0]).grace or self._grace
        if len(found) < wanted:
            return None
        last = found[:wanted]
        return CompleteRuns(
            source=source,
            ids=tuple(row.run_id for row in last),
            numbers=tuple(row.number for row in last),
            before=last[-1].started_at,
            ended_at=last[0].finished_at,
        )

    def complete_runs_after(self, moments: Mapping[str, int]) -> dict[str, CompleteRuns]:
        """The last complete runs of those of these sources where all of them began after the source's moment."""
        found: dict[str, CompleteRuns] = {}
        for source, moment in moments.items():
            newer = _latest_runs(source, None).where(crawl_run.c.started_at > moment).limit(1)
            if self._connection.execute(newer).first() is not None:
                runs = self.complete_runs(source)
                if runs is not None and runs.before > moment:
                    found[source] = runs
        return found

    def seen(self, runs: CompleteRuns, source_keys: Collection[str]) -> set[str]:
        """Those of these offers of which the runs have an item that was refused, or waits, or tell nothing at all."""
        if not source_keys:
            return set()
        found = {key for key in source_keys if key.startswith(SITE_MARK)}
        for query, column in ((_refused(runs), quarantine.c.source_key), (_waiting(runs), held_item.c.source_key)):
            found.update(self._connection.scalars(query.where(in_values(self._connection, column, source_keys))))
        return found

    def count_missing(self, runs: CompleteRuns) -> int:
        """How many offers that the source has all of these runs missed."""
        query = select(func.count()).where(_gone(runs), offer.c.removed_at.is_(None))
        return self._connection.scalar(query) or 0

    def list_missing(self, runs: CompleteRuns, *, limit: int) -> Sequence[dict[str, Any]]:
        """Some of those offers: `number`, `book_number`, `source`, `source_key`."""
        columns = [offer.c[name] for name in ("number", "book_number", "source", "source_key")]
        return self._rows(select(*columns).where(_gone(runs), offer.c.removed_at.is_(None)), limit)

    def list_reappeared(self, runs: CompleteRuns, *, limit: int) -> Sequence[dict[str, Any]]:
        """Some of the source's offers that are removed and not gone, as whole rows: other runs had missed them."""
        of_source = offer.c.source == runs.source
        return self._rows(select(offer).where(of_source, offer.c.removed_at.is_not(None), ~_gone(runs)), limit)

    def _rows(self, query: Select[Any], limit: int) -> Sequence[dict[str, Any]]:
        rows = self._connection.execute(query.order_by(offer.c.number).limit(limit)).mappings()
        return [dict(row) for row in rows]


_is_being_closed = (
    (crawl_run.c.state == RunState.RUNNING.value)
    & (crawl_run.c.finished_state == RunState.COMPLETE.value)
    & (crawl_run.c.gate == ApprovalState.RELEASED.value)
    & HAS_ENDED
)


def _latest_runs(source: str, ending: int | None) -> Select[Any]:
    columns = [crawl_run.c[name] for name in ("run_id", "number", "started_at", "finished_at", "expect")]
    return (
        select(*columns)
        .where(
            crawl_run.c.source == source,
            or_(crawl_run.c.state == RunState.COMPLETE.value, crawl_run.c.number == ending, _is_being_closed),
            crawl_run.c.whole_source,
            crawl_run.c.started_at.is_not(None),
        )
        .order_by(crawl_run.c.started_at.desc(), crawl_run.c.run_id.desc())
    )


def _refused(runs: CompleteRuns) -> Select[Any]:
    return select(quarantine.c.source_key).where(
        quarantine.c.run_id.in_(runs.ids), quarantine.c.source_key.is_not(None)
    )


def _waiting(runs: CompleteRuns) -> Select[Any]:
    return select(held_item.c.source_key).where(held_item.c.run_number.in_(runs.numbers))


def _begins(prefix: str) -> ColumnElement[bool]:
    return offer.c.source_key.startswith(prefix, autoescape=True)


_IS_ELSEWHERE = _begins(SITE_MARK)


def _gone(runs: CompleteRuns) -> ColumnElement[bool]:
    """An item that waits, or that the rules refuse, is a sighting nevertheless: the source has a page of the offer."""
    return (
        (offer.c.source == runs.source)
        & ~_IS_ELSEWHERE
        & (offer.c.last_seen < runs.before)
        & offer.c.last_run.not_in(runs.ids)
        & offer.c.source_key.not_in(_refused(runs))
        & offer.c.source_key.not_in(_waiting(runs))
    )
