"""Stores the state and counts of crawl runs, inside the transaction of the caller.

A run ends when `scraped` items have a verdict, its published pages are stored, and all changes of the catalog are
applied: see `RunApprovals`. Its final state is the state of its finish message.
"""

from collections.abc import Collection, Mapping

from bookwheel_contracts import PageOutcome, RunFinished, RunStarted, RunState, Verdict
from sqlalchemy import Connection, Text, and_, bindparam, case, cast, delete, func, literal, or_, select, update

from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.runs.store import FINAL_STATES, ApprovalState, page_column
from bookwheel_stores.records.tables import crawl_run, processed_item
from bookwheel_stores.records.values import to_millis

accounted_items = sum((crawl_run.c[verdict.value] for verdict in Verdict), start=crawl_run.c.staged)
"""The number of items of a run that have a verdict or are staged."""

accounted_pages = sum(map(page_column, PageOutcome), start=literal(0))
"""The number of pages of a run that are stored."""

_is_unfinished = crawl_run.c.finished_state.is_(None) & crawl_run.c.state.in_(
    [RunState.QUEUED.value, RunState.RUNNING.value]
)
_is_held = crawl_run.c.state == RunState.HELD.value
_ENDED = [state.value for state in (RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED, RunState.HELD)]
"""States of runs that later messages may reopen. A cancelled run, which an operator discarded, is not reopened."""


class RunLedger:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = dialect_of(connection)

    def get_or_create(self, sources: Mapping[str, str], *, now: int) -> dict[str, int]:
        """Returns the numbers of runs by id. `sources` maps run ids to sources. Creates missing runs."""
        defaults = {"state": RunState.RUNNING.value, "touched_at": now}
        rows = [{"run_id": run_id, "source": source, **defaults} for run_id, source in sorted(sources.items())]
        self._dialect.insert_or_ignore(self._connection, crawl_run, rows)
        runs = select(crawl_run.c.run_id, crawl_run.c.number).where(crawl_run.c.run_id.in_(list(sources)))
        return {row.run_id: row.number for row in self._connection.execute(runs)}

    def lock(self, run_numbers: Collection[int]) -> None:
        """Locks runs and sets queued runs to running.

        Call it after the catalog is changed and before the runs are changed.
        """
        runs = select(crawl_run.c.number).where(crawl_run.c.number.in_(run_numbers)).order_by(crawl_run.c.number)
        self._connection.execute(runs.with_for_update(key_share=True)).all()
        self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.number.in_(run_numbers), crawl_run.c.state == RunState.QUEUED.value)
            .values(state=RunState.RUNNING.value)
        )

    def start(self, message: RunStarted) -> None:
        """Applies a start message.

        Reopens the run if it was resumed, or if its start arrives late or is earlier, because the missing offers may
        change.
        """
        started = to_millis(message.started_at)
        resumes = (crawl_run.c.finished_at < started) & (crawl_run.c.started_at < started)
        is_earliest = crawl_run.c.started_at.is_(None) | (crawl_run.c.started_at > started)
        is_late = is_earliest & crawl_run.c.state.in_([RunState.COMPLETE.value, RunState.HELD.value])
        is_undecided = is_late & crawl_run.c.hold.is_(None)
        self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.run_id == message.run_id)
            .values(
                start_url=func.coalesce(crawl_run.c.start_url, message.start_url),
                started_at=case((is_earliest, started), else_=crawl_run.c.started_at),
                traceparent=func.coalesce(crawl_run.c.traceparent, message.traceparent[:64]),
                state=case((resumes | is_late, RunState.RUNNING.value), else_=crawl_run.c.state),
                scraped=case((resumes, None), else_=crawl_run.c.scraped),
                published_pages=case((resumes, None), else_=crawl_run.c.published_pages),
                finished_state=case((resumes, None), else_=crawl_run.c.finished_state),
                finished_at=case((resumes, None), else_=crawl_run.c.finished_at),
                hold=case((resumes | is_late & _is_held, None), else_=crawl_run.c.hold),
                gate=case(
                    (resumes, ApprovalState.PENDING.value),
                    (is_undecided, ApprovalState.APPROVED.value),
                    else_=crawl_run.c.gate,
                ),
                whole_source=message.whole_source,
                expect=message.expect.model_dump_json(exclude_none=True),
            )
        )

    def finish(self, message: RunFinished) -> None:
        """Applies a finish message, and the start message that it repeats.

        Messages may arrive in any order. The latest message is the message with the highest `scraped`, because a clock
        may go back during a run. A later message reopens a run that has ended or is held.
        """
        if message.start is not None:
            self.start(message.start)
        finished = to_millis(message.finished_at)
        differs = (crawl_run.c.scraped < message.scraped) | (crawl_run.c.finished_state != message.state.value)
        resumes = differs & crawl_run.c.state.in_(_ENDED)
        self._connection.execute(
            update(crawl_run)
            .where(
                crawl_run.c.run_id == message.run_id,
                crawl_run.c.scraped.is_(None)
                | (crawl_run.c.scraped < message.scraped)
                | (crawl_run.c.scraped == message.scraped)
                & (
                    (crawl_run.c.finished_at < finished)
                    | (crawl_run.c.finished_at == finished) & (crawl_run.c.finished_state <= message.state.value)
                ),
            )
            .values(
                state=case((resumes, RunState.RUNNING.value), else_=crawl_run.c.state),
                gate=case((resumes & crawl_run.c.hold.is_(None), ApprovalState.APPROVED.value), else_=crawl_run.c.gate),
                hold=case((resumes & _is_held, None), else_=crawl_run.c.hold),
                finished_at=finished,
                finished_state=message.state.value,
                reason=message.reason,
                scraped=message.scraped,
                pages=message.pages,
                errors=message.errors,
                published_pages=message.published_pages,
            )
        )

    def list_unprocessed(self, run_number: int, item_numbers: Collection[int]) -> set[int]:
        """Returns the items of `item_numbers` that have no verdict."""
        has_number = self._dialect.in_values(processed_item.c.item_number, item_numbers)
        processed = select(processed_item.c.item_number).where(processed_item.c.run_number == run_number, has_number)
        return set(item_numbers).difference(self._connection.scalars(processed))

    def mark_processed(self, run_number: int, item_numbers: Collection[int]) -> None:
        """Marks items as processed, so that a redelivery is ignored."""
        rows = [{"run_number": run_number, "item_number": number} for number in item_numbers]
        self._dialect.insert_rows(self._connection, processed_item, rows)

    def add_verdicts(self, run_number: int, verdicts: Mapping[Verdict, int], *, last_change: int, now: int) -> None:
        """Adds to the counts of the run; negative values subtract. `last_change` is 0 if the catalog did not change."""
        increments = {f"increment_{verdict.value}": verdicts.get(verdict, 0) for verdict in Verdict}
        self._connection.execute(_add_verdicts, {"of_run": run_number, "change": last_change, "now": now, **increments})

    def close_incomplete(self, *, before: int) -> int:
        """Ends runs as partial if they lack items or pages long after their finish message. Returns the number of runs.

        Their end and their last activity must be before `before`, in milliseconds. `scraped` becomes the number of
        items that arrived, and `published_pages` the number of pages.
        """
        lost = crawl_run.c.scraped - accounted_items
        lost_pages = func.coalesce(crawl_run.c.published_pages, 0) - accounted_pages
        text = " were lost on their way to the processor"
        is_incomplete = and_(
            crawl_run.c.finished_state.is_not(None),
            or_(lost > 0, lost_pages > 0),
            crawl_run.c.finished_at < before,
            crawl_run.c.touched_at < before,
        )
        runs = select(crawl_run.c.number).where(is_incomplete).order_by(crawl_run.c.number)
        numbers = self._connection.scalars(runs.with_for_update(key_share=True)).all()
        closed = self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.number.in_(numbers), is_incomplete)
            .values(
                finished_state=RunState.PARTIAL.value,
                reason=case(
                    (lost > 0, cast(lost, Text).concat(f" items{text}")),
                    else_=cast(lost_pages, Text).concat(f" pages{text}"),
                ),
                scraped=case((lost > 0, accounted_items), else_=crawl_run.c.scraped),
                published_pages=case((lost_pages > 0, accounted_pages), else_=crawl_run.c.published_pages),
            )
        )
        return closed.rowcount

    def list_unfinished(self, *, before: int) -> set[str]:
        """Returns the ids of runs without a finish message and without activity since `before`."""
        run_ids = select(crawl_run.c.run_id).where(_is_unfinished, crawl_run.c.touched_at < before)
        return set(self._connection.scalars(run_ids))

    def finish_abandoned(self, run_ids: Collection[str]) -> int:
        """Ends runs with the items that arrived, unless they have a finish message. Returns the number of runs."""
        runs = select(crawl_run.c.number).where(_is_unfinished, crawl_run.c.run_id.in_(run_ids))
        numbers = self._connection.scalars(runs.order_by(crawl_run.c.number).with_for_update(key_share=True)).all()
        finished = self._connection.execute(
            update(crawl_run)
            .where(crawl_run.c.number.in_(numbers), _is_unfinished)
            .values(
                state=RunState.RUNNING.value,
                finished_state=case((accounted_items > 0, RunState.PARTIAL.value), else_=RunState.FAILED.value),
                finished_at=crawl_run.c.touched_at,
                reason="Redis lost the crawl and its finish message",
                scraped=accounted_items,
            )
        )
        return finished.rowcount

    def purge_processed(self, *, before: int) -> int:
        """Deletes the processed items of runs that ended before `before`. Returns the number of items."""
        ended = select(crawl_run.c.number).where(
            crawl_run.c.state.in_([state.value for state in FINAL_STATES]), crawl_run.c.touched_at < before
        )
        return self._connection.execute(delete(processed_item).where(processed_item.c.run_number.in_(ended))).rowcount


_add_verdicts = (
    update(crawl_run)
    .where(crawl_run.c.number == bindparam("of_run"))
    .values(
        {verdict.value: crawl_run.c[verdict.value] + bindparam(f"increment_{verdict.value}") for verdict in Verdict}
        | {
            "last_change": case(
                (crawl_run.c.last_change < bindparam("change"), bindparam("change")), else_=crawl_run.c.last_change
            ),
            "touched_at": bindparam("now"),
        }
    )
)
