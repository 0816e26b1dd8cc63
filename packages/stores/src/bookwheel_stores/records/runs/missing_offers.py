"""Finds offers that the last complete runs of their source did not see, inside the transaction of the caller.

An offer is missing if the last `grace` complete runs of its source began after it was last seen. This is computed from
the stored runs and offers, so it does not depend on the order of arrival.

Offers on undeclared sites are never missing, because complete runs do not visit these sites.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from bookwheel_contracts import RunState
from bookwheel_contracts.crawls import UNDECLARED_SITE_PREFIX
from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.runs.approvals import HAS_ENDED, expectations_from_row
from bookwheel_stores.records.runs.store import ApprovalState
from bookwheel_stores.records.tables import crawl_run, offer, quarantine, staged_item

_MAX_GRACE = 100  # the maximum in the declaration of a source


class CompleteRuns(NamedTuple):
    """The last complete runs of one source, latest first.

    `earliest_start` is the start of the earliest run. `ended_at` is the end of the latest run. An offer is missing if
    it was last seen before `earliest_start` and none of these runs saw it. The time alone is not sufficient, because
    the clock of a run may be slow.
    """

    source: str
    ids: tuple[str, ...]
    numbers: tuple[int, ...]
    earliest_start: int
    ended_at: int

    def is_missing(self, seen_at: int, run_id: str) -> bool:
        """Returns whether an offer is missing. The run `run_id` was the last to see it, at `seen_at`."""
        return seen_at < self.earliest_start and run_id not in self.ids


class MissingOffers:
    """`grace` is the default number of consecutive complete runs after which an offer is missing."""

    def __init__(self, connection: Connection, *, grace: int) -> None:
        self._connection = connection
        self._grace = grace

    def count_live(self, source: str, site: str | None = None) -> int:
        """Returns the number of the source's offers on its declared sites, or on the undeclared site `site`."""
        is_on_site = ~_IS_ON_UNDECLARED_SITE if site is None else _key_starts_with(f"{UNDECLARED_SITE_PREFIX}{site}~")
        query = select(func.count()).where(offer.c.source == source, offer.c.removed_at.is_(None), is_on_site)
        return self._connection.scalar(query) or 0

    def get_complete_runs(
        self, source: str, *, last_run: int | None = None, grace: int | None = None
    ) -> CompleteRuns | None:
        """Returns the last `grace` complete runs of the source; None if there are fewer.

        They include the run `last_run` and other runs that are being finished. Otherwise, runs that end together would
        undo each other's removals. `grace` defaults to the declaration in the latest run. A run with a quarantined item
        of an unknown offer does not count, because the item may belong to any offer.
        """
        unknown_items = select(quarantine.c.number).where(
            quarantine.c.run_id == crawl_run.c.run_id, quarantine.c.source_key.is_(None)
        )
        rows = self._connection.execute(
            _latest_runs(source, last_run).where(~unknown_items.exists()).limit(grace or _MAX_GRACE)
        ).all()
        if not rows:
            return None
        grace = grace or expectations_from_row(rows[0]).grace or self._grace
        if len(rows) < grace:
            return None
        last = rows[:grace]
        return CompleteRuns(
            source=source,
            ids=tuple(row.run_id for row in last),
            numbers=tuple(row.number for row in last),
            earliest_start=last[-1].started_at,
            ended_at=last[0].finished_at,
        )

    def get_complete_runs_after(self, moments: Mapping[str, int]) -> dict[str, CompleteRuns]:
        """Returns the last `grace` complete runs by source.

        `moments` has a time by source. A source is omitted if one of its runs began before its time.
        """
        runs_by_source: dict[str, CompleteRuns] = {}
        for source, moment in moments.items():
            newer = _latest_runs(source, None).where(crawl_run.c.started_at > moment).limit(1)
            if self._connection.execute(newer).first() is not None:
                runs = self.get_complete_runs(source)
                if runs is not None and runs.earliest_start > moment:
                    runs_by_source[source] = runs
        return runs_by_source

    def find_seen_keys(self, runs: CompleteRuns, source_keys: Collection[str]) -> set[str]:
        """Returns the keys of offers with a quarantined or staged item in these runs, or on undeclared sites."""
        if not source_keys:
            return set()
        seen_keys = {key for key in source_keys if key.startswith(UNDECLARED_SITE_PREFIX)}
        in_values = dialect_of(self._connection).in_values
        for query, column in ((_quarantined(runs), quarantine.c.source_key), (_staged(runs), staged_item.c.source_key)):
            seen_keys.update(self._connection.scalars(query.where(in_values(column, source_keys))))
        return seen_keys

    def count_missing(self, runs: CompleteRuns) -> int:
        """Returns the number of the source's current offers that all these runs missed."""
        query = select(func.count()).where(_is_missing(runs), offer.c.removed_at.is_(None))
        return self._connection.scalar(query) or 0

    def list_missing(self, runs: CompleteRuns, *, limit: int) -> Sequence[dict[str, Any]]:
        """Returns up to `limit` missing offers with `number`, `book_number`, `source` and `source_key`."""
        columns = [offer.c[name] for name in ("number", "book_number", "source", "source_key")]
        return self._rows(select(*columns).where(_is_missing(runs), offer.c.removed_at.is_(None)), limit)

    def list_reappeared(self, runs: CompleteRuns, *, limit: int) -> Sequence[dict[str, Any]]:
        """Returns up to `limit` removed offers of the source that are not missing any more, with all columns."""
        is_removed = (offer.c.source == runs.source) & offer.c.removed_at.is_not(None)
        return self._rows(select(offer).where(is_removed, ~_is_missing(runs)), limit)

    def _rows(self, query: Select[Any], limit: int) -> Sequence[dict[str, Any]]:
        rows = self._connection.execute(query.order_by(offer.c.number).limit(limit)).mappings()
        return [dict(row) for row in rows]


_is_being_finished = (
    (crawl_run.c.state == RunState.RUNNING.value)
    & (crawl_run.c.finished_state == RunState.COMPLETE.value)
    & (crawl_run.c.gate == ApprovalState.RELEASED.value)
    & HAS_ENDED
)


def _latest_runs(source: str, last_run: int | None) -> Select[Any]:
    columns = [crawl_run.c[name] for name in ("run_id", "number", "started_at", "finished_at", "expect")]
    return (
        select(*columns)
        .where(
            crawl_run.c.source == source,
            or_(crawl_run.c.state == RunState.COMPLETE.value, crawl_run.c.number == last_run, _is_being_finished),
            crawl_run.c.whole_source,
            crawl_run.c.started_at.is_not(None),
        )
        .order_by(crawl_run.c.started_at.desc(), crawl_run.c.run_id.desc())
    )


def _quarantined(runs: CompleteRuns) -> Select[Any]:
    return select(quarantine.c.source_key).where(
        quarantine.c.run_id.in_(runs.ids), quarantine.c.source_key.is_not(None)
    )


def _staged(runs: CompleteRuns) -> Select[Any]:
    return select(staged_item.c.source_key).where(staged_item.c.run_number.in_(runs.numbers))


def _key_starts_with(prefix: str) -> ColumnElement[bool]:
    return offer.c.source_key.startswith(prefix, autoescape=True)


_IS_ON_UNDECLARED_SITE = _key_starts_with(UNDECLARED_SITE_PREFIX)


def _is_missing(runs: CompleteRuns) -> ColumnElement[bool]:
    """Returns the condition for missing offers. A staged or quarantined item proves that the offer still exists."""
    return (
        (offer.c.source == runs.source)
        & ~_IS_ON_UNDECLARED_SITE
        & (offer.c.last_seen < runs.earliest_start)
        & offer.c.last_run.not_in(runs.ids)
        & offer.c.source_key.not_in(_quarantined(runs))
        & offer.c.source_key.not_in(_staged(runs))
    )
