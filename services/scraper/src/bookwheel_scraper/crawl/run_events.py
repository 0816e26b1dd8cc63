"""The events of a run as messages of the stream."""

from datetime import UTC, datetime

from bookwheel_contracts.crawls import CrawlRequest, Expectations, RunFinished, RunStarted, RunState

from bookwheel_scraper.crawl.outcomes import Outcome
from bookwheel_scraper.publishing.run_attempt import RunCounts
from bookwheel_scraper.sources.declarations import Source


class RunMessages:
    """Start and end of one attempt of a requested run."""

    def __init__(self, request: CrawlRequest, traceparent: str) -> None:
        self._request = request
        self._traceparent = traceparent
        self._start: RunStarted | None = None

    def started(self, start_url: str, source: Source | None = None, *, whole: bool = False) -> RunStarted:
        """`whole` for a crawl from the source's own start. Of sites that it does not declare nothing is expected."""
        is_its_own = source is not None and source.other_site(start_url) is None
        self._start = RunStarted(
            run_id=self._request.run_id,
            source=self._request.source,
            start_url=start_url,
            started_at=datetime.now(UTC),
            whole_source=whole,
            expect=source.expect if source and is_its_own else Expectations(),
            traceparent=self._traceparent,
        )
        return self._start

    def finished(self, progress: RunCounts, outcome: Outcome) -> RunFinished:
        return RunFinished(
            run_id=self._request.run_id,
            source=self._request.source,
            finished_at=datetime.now(UTC),
            state=outcome.state,
            reason=outcome.reason,
            scraped=progress.published,
            pages=progress.pages,
            errors=progress.errors,
            start=self._start,
            traceparent=self._traceparent,
        )

    def broken(self, progress: RunCounts, reason: str) -> RunFinished:
        """The end of a run that cannot go on."""
        outcome = Outcome(RunState.PARTIAL if progress.published else RunState.FAILED, reason)
        return self.finished(progress, outcome)
