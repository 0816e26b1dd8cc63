"""The accounting of crawl runs, inside the caller's transaction.

A run's state is the scraper's last word only once as many items have a verdict as the scraper says it scraped, and
what it does to the catalog is done: see `RunApprovals`.
"""

from collections.abc import Collection, Mapping

from bookwheel_contracts import RunFinished, RunStarted, RunState, Verdict
from sqlalchemy import Connection, Text, and_, bindparam, case, cast, delete, func, select, update

from bookwheel_stores.records.database.bulk import in_values, insert_or_ignore, insert_rows
from bookwheel_stores.records.runs.store import FINAL_STATES
from bookwheel_stores.records.tables import crawl_run, receipt
from bookwheel_stores.records.values import to_millis

accounted = sum((crawl_run.c[verdict.value] for verdict in Verdict), start=crawl_run.c.staged)
"""How many of a run's items have a verdict, or are staged until they get one."""

_is_endless = crawl_run.c.finished_state.is_(None) & crawl_run.c.state.in_(
    [RunState.QUEUED.value, RunState.RUNNING.value]
)
_is_held = crawl_run.c.state == RunState.HELD.value
_ENDED = [state.value for state in (RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED, RunState.HELD)]
"""Judged by what was told of the run until then; not those that an operator discarded."""


class RunLedger:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_or_create(self, sources: Mapping[str, str], *, now: int) -> dict[str, int]:
        """The numbers of the runs with these ids; a run that is new here begins, with the given source."""
        fresh = {"state": RunState.RUNNING.value, "touched_at": now}
        rows = [{"run_id": run_id, "source": source, **fresh} for run_id, source in sorted(sources.items())]
        insert_or_ignore(self._connection, crawl_run, rows)
        known = select(crawl_run.c.run_id, crawl_run.c.number).where(crawl_run.c.run_id.in_(list(sources)))
        return {row.run_id: row.number for row in self._connection.execute(known)}

    def lock(self, run_numbers: Collection[int]) -> None:
        """Keeps other writers from these runs; those that were queued are running.

        After the catalog is changed, and before anything else is told of the runs.
        """
        held = select(crawl_run.c.number).where(crawl_run.c.number.in_(run_numbers)).order_by(crawl_run.c.number)
        self._connection.execute(held.with_for_update(key_share=True)).all()
        self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.number.in_(run_numbers), crawl_run.c.state == RunState.QUEUED.value)
            .values(state=RunState.RUNNING.value)
        )

    def start(self, event: RunStarted) -> None:
        """A run that goes on after it had ended is running again; so is one that is complete or held and whose start,
        or the first of its starts, comes late: what it is not to see any more was not looked at, or by another time.
        """
        started = to_millis(event.started_at)
        resumes = (crawl_run.c.finished_at < started) & (crawl_run.c.started_at < started)
        is_first = crawl_run.c.started_at.is_(None) | (crawl_run.c.started_at > started)
        is_late = is_first & crawl_run.c.state.in_([RunState.COMPLETE.value, RunState.HELD.value])
        undecided = is_late & crawl_run.c.hold.is_(None)
        self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.run_id == event.run_id)
            .values(
                start_url=func.coalesce(crawl_run.c.start_url, event.start_url),
                started_at=case((is_first, started), else_=crawl_run.c.started_at),
                traceparent=func.coalesce(crawl_run.c.traceparent, event.traceparent[:64]),
                state=case((resumes | is_late, RunState.RUNNING.value), else_=crawl_run.c.state),
                scraped=case((resumes, None), else_=crawl_run.c.scraped),
                finished_state=case((resumes, None), else_=crawl_run.c.finished_state),
                finished_at=case((resumes, None), else_=crawl_run.c.finished_at),
                hold=case((resumes | is_late & _is_held, None), else_=crawl_run.c.hold),
                gate=case((resumes, "shut"), (undecided, "open"), else_=crawl_run.c.gate),
                whole_source=event.whole_source,
                expect=event.expect.model_dump_json(exclude_none=True),
            )
        )

    def finish(self, event: RunFinished) -> None:
        """Keeps the scraper's last word. Of several, in whatever order they arrive, that which counts most items is the
        latest: a clock may go back while a run lasts, its count may not. A run that had ended, or is held, by another
        word is judged once more. The start that it repeats counts as if it came once more."""
        if event.start is not None:
            self.start(event.start)
        finished = to_millis(event.finished_at)
        says_otherwise = (crawl_run.c.scraped < event.scraped) | (crawl_run.c.finished_state != event.state.value)
        resumes = says_otherwise & crawl_run.c.state.in_(_ENDED)
        self._connection.execute(
            update(crawl_run)
            .where(
                crawl_run.c.run_id == event.run_id,
                crawl_run.c.scraped.is_(None)
                | (crawl_run.c.scraped < event.scraped)
                | (crawl_run.c.scraped == event.scraped)
                & (
                    (crawl_run.c.finished_at < finished)
                    | (crawl_run.c.finished_at == finished) & (crawl_run.c.finished_state <= event.state.value)
                ),
            )
            .values(
                state=case((resumes, RunState.RUNNING.value), else_=crawl_run.c.state),
                gate=case((resumes & crawl_run.c.hold.is_(None), "open"), else_=crawl_run.c.gate),
                hold=case((resumes & _is_held, None), else_=crawl_run.c.hold),
                finished_at=finished,
                finished_state=event.state.value,
                reason=event.reason,
                scraped=event.scraped,
                pages=event.pages,
                errors=event.errors,
            )
        )

    def list_unprocessed(self, run_number: int, item_numbers: Collection[int]) -> set[int]:
        """Those of a run's items that have no verdict yet."""
        unseen = set(item_numbers)
        asked = in_values(self._connection, receipt.c.item_number, item_numbers)
        query = select(receipt.c.item_number).where(receipt.c.run_number == run_number, asked)
        unseen.difference_update(self._connection.scalars(query))
        return unseen

    def mark_processed(self, run_number: int, item_numbers: Collection[int]) -> None:
        """Notes that these items have their verdict, so that no later delivery of them counts."""
        rows = [{"run_number": run_number, "item_number": number} for number in item_numbers]
        insert_rows(self._connection, receipt, rows)

    def add_verdicts(self, run_number: int, verdicts: Mapping[Verdict, int], *, last_change: int, now: int) -> None:
        """Adds to (or takes from) the run's counts; `last_change` is 0 where the catalog stays as it was."""
        more = {f"more_{verdict.value}": verdicts.get(verdict, 0) for verdict in Verdict}
        self._connection.execute(_account, {"of_number": run_number, "change": last_change, "now": now, **more})

    def close_incomplete(self, *, before: int) -> int:
        """Lets runs end as partial that ended and were last touched before that time and still miss items.

        What is accounted for then counts as all that was scraped. Returns how many runs that were.
        """
        lost = crawl_run.c.scraped - accounted
        is_lost = and_(
            crawl_run.c.finished_state.is_not(None),
            lost > 0,
            crawl_run.c.finished_at < before,
            crawl_run.c.touched_at < before,
        )
        held = select(crawl_run.c.number).where(is_lost).order_by(crawl_run.c.number).with_for_update(key_share=True)
        closed = self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.number.in_(self._connection.scalars(held).all()), is_lost)
            .values(
                finished_state=RunState.PARTIAL.value,
                reason=cast(lost, Text).concat(" items were lost on their way to the processor"),
                scraped=accounted,
            )
        )
        return closed.rowcount

    def list_unfinished(self, *, before: int) -> set[str]:
        """The ids of runs without the scraper's last word that were last touched before that time."""
        waiting = select(crawl_run.c.run_id).where(_is_endless, crawl_run.c.touched_at < before)
        return set(self._connection.scalars(waiting))

    def finish_abandoned(self, run_ids: Collection[str]) -> int:
        """Lets these runs end with what they have, where their last word has not come after all. Returns how many."""
        held = select(crawl_run.c.number).where(_is_endless, crawl_run.c.run_id.in_(run_ids))
        numbers = self._connection.scalars(held.order_by(crawl_run.c.number).with_for_update(key_share=True)).all()
        ended = self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.number.in_(numbers), _is_endless)
            .values(
                state=RunState.RUNNING.value,
                finished_state=case((accounted > 0, RunState.PARTIAL.value), else_=RunState.FAILED.value),
                finished_at=crawl_run.c.touched_at,
                reason="Redis has forgotten the crawl, and with it the end",
                scraped=accounted,
            )
        )
        return ended.rowcount

    def purge_processed(self, *, before: int) -> int:
        """Drops the receipts of runs that ended before that time; returns how many."""
        ended = select(crawl_run.c.number).where(
            crawl_run.c.state.in_([state.value for state in FINAL_STATES]), crawl_run.c.touched_at < before
        )
        return self._connection.execute(delete(receipt).where(receipt.c.run_number.in_(ended))).rowcount


_account = (
    update(crawl_run)
    .where(crawl_run.c.number == bindparam("of_number"))
    .values(
        {verdict.value: crawl_run.c[verdict.value] + bindparam(f"more_{verdict.value}") for verdict in Verdict}
        | {
            "last_change": case(
                (crawl_run.c.last_change < bindparam("change"), bindparam("change")), else_=crawl_run.c.last_change
            ),
            "touched_at": bindparam("now"),
        }
    )
)
