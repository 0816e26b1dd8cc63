"""How an attempt ended, and its start and end as stream messages."""

from datetime import UTC, datetime
from enum import IntEnum
from typing import Literal, NamedTuple

from bookwheel_contracts.crawls import CrawlRequest, Expectations, RunFinished, RunStarted, RunState

from bookwheel_scraper.publishing.run_attempt import RunCounts
from bookwheel_scraper.sources.declarations import Source


class ExitStatus(IntEnum):
    """How a crawl process ended; any other status is a crash."""

    FINISHED = 0
    """The run's end is published."""
    TAKEN_OVER = 3
    """Another process started a later attempt of the run."""
    UNFINISHED = 4
    """It had to stop before it could publish the end: the run needs another attempt."""


class Outcome(NamedTuple):
    """`reason` is text for people."""

    state: Literal[RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED]
    reason: str | None


def outcome_of(*, stop_reason: str | None, published: int, errors: int, first_error: str | None) -> Outcome:
    """A run is complete only when every page that it discovered was fetched."""
    if stop_reason is not None:
        return Outcome(RunState.PARTIAL, stop_reason)
    if not errors:
        return Outcome(RunState.COMPLETE, None)
    reason = first_error or "unknown error"
    if errors > 1:
        reason = f"{errors} pages failed, the first: {reason}"
    return Outcome(RunState.PARTIAL if published else RunState.FAILED, reason[:1000])


class RunMessages:
    """Builds the messages for the start and the end of one attempt of a requested run."""

    def __init__(self, request: CrawlRequest, traceparent: str) -> None:
        self._request = request
        self._traceparent = traceparent
        self._start: RunStarted | None = None

    def started(self, start_url: str, source: Source | None = None, *, whole: bool = False) -> RunStarted:
        """`whole` is True for a crawl from the source's declared start. Expectations apply to declared sites only."""
        is_declared_site = source is not None and source.undeclared_site(start_url) is None
        self._start = RunStarted(
            run_id=self._request.run_id,
            source=self._request.source,
            start_url=start_url,
            started_at=datetime.now(UTC),
            whole_source=whole,
            expect=source.expect if source and is_declared_site else Expectations(),
            traceparent=self._traceparent,
        )
        return self._start

    def finished(self, counts: RunCounts, outcome: Outcome) -> RunFinished:
        return RunFinished(
            run_id=self._request.run_id,
            source=self._request.source,
            finished_at=datetime.now(UTC),
            state=outcome.state,
            reason=outcome.reason,
            scraped=counts.published,
            pages=counts.pages,
            errors=counts.errors,
            start=self._start,
            traceparent=self._traceparent,
        )

    def aborted(self, counts: RunCounts, reason: str) -> RunFinished:
        """The end of a run that cannot continue."""
        outcome = Outcome(RunState.PARTIAL if counts.published else RunState.FAILED, reason)
        return self.finished(counts, outcome)
