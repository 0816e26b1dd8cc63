"""Exit statuses and outcomes of an attempt, and its start and finish messages."""

from datetime import UTC, datetime
from enum import IntEnum
from typing import Literal, NamedTuple

from bookwheel_contracts.crawls import CrawlRequest, Expectations, RunFinished, RunStarted, RunState

from bookwheel_scraper.crawl.context import CANCELLED_REASON
from bookwheel_scraper.publishing.run_attempt import RunCounts
from bookwheel_scraper.sources.declarations import Source


class ExitStatus(IntEnum):
    """Exit status of a crawl process; any other status is a crash."""

    FINISHED = 0
    """The finish message is published."""
    TAKEN_OVER = 3
    """Another process started a later attempt of the run."""
    UNFINISHED = 4
    """The process stopped before it published the finish message: the run needs another attempt."""


class Outcome(NamedTuple):
    """The final state of a run and the reason for it, as text for the user."""

    state: Literal[RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED]
    reason: str | None


def build_outcome(*, stop_reason: str | None, published: int, errors: int, first_error: str | None) -> Outcome:
    """A run is complete only if all discovered pages were fetched."""
    if stop_reason is not None:
        return Outcome(RunState.PARTIAL, stop_reason)
    if not errors:
        return Outcome(RunState.COMPLETE, None)
    reason = first_error or "unknown error"
    if errors > 1:
        reason = f"{errors} pages failed; first error: {reason}"
    return Outcome(RunState.PARTIAL if published else RunState.FAILED, reason[:1000])


class RunMessages:
    """Builds the start message and the finish message of one attempt."""

    def __init__(self, request: CrawlRequest, traceparent: str) -> None:
        self._request = request
        self._traceparent = traceparent
        self._start_message: RunStarted | None = None

    def build_start(self, start_url: str, source: Source | None = None, *, is_whole_source: bool = False) -> RunStarted:
        """Builds the start message. `is_whole_source`: the crawl uses the declared start URLs.

        The message has the source's expectations only if `start_url` is on a declared site.
        """
        is_declared_site = source is not None and source.undeclared_site(start_url) is None
        self._start_message = RunStarted(
            run_id=self._request.run_id,
            source=self._request.source,
            start_url=start_url,
            started_at=datetime.now(UTC),
            whole_source=is_whole_source,
            expect=source.expect if source and is_declared_site else Expectations(),
            traceparent=self._traceparent,
        )
        return self._start_message

    def build_finish(self, counts: RunCounts, outcome: Outcome) -> RunFinished:
        return RunFinished(
            run_id=self._request.run_id,
            source=self._request.source,
            finished_at=datetime.now(UTC),
            state=outcome.state,
            reason=outcome.reason,
            scraped=counts.published,
            pages=counts.pages,
            errors=counts.errors,
            published_pages=sum(counts.outcomes.values()),
            start=self._start_message,
            traceparent=self._traceparent,
        )

    def build_abort(self, counts: RunCounts, reason: str) -> RunFinished:
        """Builds the finish message of a run that cannot continue."""
        outcome = Outcome(RunState.PARTIAL if counts.published else RunState.FAILED, reason)
        return self.build_finish(counts, outcome)

    def build_cancelled(self, counts: RunCounts) -> RunFinished:
        return self.build_finish(counts, Outcome(RunState.CANCELLED, CANCELLED_REASON))
