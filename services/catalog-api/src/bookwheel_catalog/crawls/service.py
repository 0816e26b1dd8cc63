"""Lists the declared sources; requests crawls, reads their progress and decides on held crawls."""

import secrets
from datetime import UTC, datetime

from bookwheel_contracts import CrawlRequest, CrawlRun, PageCounts, PageOutcome, RunFinished, RunState
from bookwheel_contracts.problems import ConflictError, NotFoundError
from bookwheel_contracts.redis_keys import (
    CANCELLED_FIELD,
    CRAWL_STREAM,
    RAW_STREAM,
    SOURCES_KEY,
    page_count_name,
    run_key,
)
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.records import RunStore
from bookwheel_stores.records.runs.pages import RunPageReader
from bookwheel_stores.streams import StreamWriter
from redis import Redis
from redis.exceptions import RedisError, WatchError

from bookwheel_catalog.crawls.models import (
    CrawlHold,
    CrawlPage,
    CrawlPageList,
    CrawlPageParameters,
    CreateCrawl,
    DeclaredSource,
)

_UNFINISHED_STATES = frozenset({RunState.QUEUED, RunState.RUNNING})
_LIVE_COUNTS = ("pages", "published", "errors", *map(page_count_name, PageOutcome))
_CANCELLED_RETENTION_SECONDS = 7 * 86400


class SourceRegistry:
    """The sources that the scraper declared in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def list(self) -> list[DeclaredSource]:
        """Returns the sources sorted by name. Raises RedisError."""
        sources = map(DeclaredSource.model_validate_json, self._redis.hgetall(SOURCES_KEY).values())
        return sorted(sources, key=lambda source: source.name)

    def get(self, name: str) -> DeclaredSource:
        """Returns a source. Raises InvalidParameterError if it is not declared."""
        sources_by_name = {source.name: source for source in self.list()}
        if name not in sources_by_name:
            declared_names = ", ".join(sources_by_name) or "none, because the scraper has not started yet"
            raise invalid_field("source", "unknown_source", f"the source is not declared; declared: {declared_names}")
        return sources_by_name[name]


class CrawlService:
    def __init__(self, redis: Redis, runs: RunStore, pages: RunPageReader, sources: SourceRegistry) -> None:
        self._redis = redis
        self._runs = runs
        self._pages = pages
        self._sources = sources

    def submit(self, body: CreateCrawl, *, requested_by: str) -> CrawlRun:
        """Sends a crawl request to the scraper. Raises InvalidParameterError or RedisError."""
        source = self._sources.get(body.source)
        if source.requires_start_url and body.start_url is None:
            raise invalid_field("start_url", "missing", f"the source {source.name} requires a start URL")
        request = CrawlRequest(
            run_id=secrets.token_hex(16),
            source=source.name,
            start_url=None if body.start_url is None else str(body.start_url),
            requested_at=datetime.now(UTC),
            requested_by=requested_by,
            traceparent=current_traceparent(),
        )
        # Publish first: a recorded run without a stream entry would stay queued forever. A published run that is not
        # recorded here is recorded with its first event.
        StreamWriter(self._redis, CRAWL_STREAM).publish([request.model_dump_json()])
        self._runs.create_requested(request)
        return self.get(request.run_id)

    def get(self, run_id: str) -> CrawlRun:
        """Returns a crawl with its current counts. Raises NotFoundError."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFoundError(f"Crawl {run_id} does not exist.")
        return self._with_progress([run])[0]

    def decide(self, run_id: str, *, release: bool, decided_by: str) -> CrawlRun:
        """Releases or discards a held crawl. Raises NotFoundError, or ConflictError if the crawl is not held."""
        was_held = self._runs.decide(run_id, release=release, by=decided_by, now=datetime.now(UTC))
        run = self.get(run_id)
        if not was_held:
            raise ConflictError(f"Crawl {run_id} is {run.state.value}: only a held crawl can be released or discarded.")
        return run

    def cancel(self, run_id: str) -> CrawlRun:
        """Makes the scraper stop a crawl. Raises NotFoundError, RedisError, or ConflictError if the crawl has ended."""
        run = self.get(run_id)
        if run.state not in _UNFINISHED_STATES:
            raise ConflictError(
                f"Crawl {run_id} is {run.state.value}: only a queued or running crawl can be cancelled."
            )
        self._redis.hset(run_key(run_id), CANCELLED_FIELD, "1")
        self._finish_if_not_started(run)
        return self.get(run_id)

    def list_pages(self, run_id: str, parameters: CrawlPageParameters) -> CrawlPageList:
        """Returns pages of a crawl. Raises NotFoundError."""
        self.get(run_id)
        rows = self._pages.page(
            run_id, outcome=parameters.outcome, after_number=parameters.after, limit=parameters.limit + 1
        )
        items = tuple(CrawlPage(**row._asdict()) for row in rows[: parameters.limit])
        return CrawlPageList(items=items, next=items[-1].number if len(rows) > parameters.limit else None)

    def get_hold(self, run_id: str) -> CrawlHold:
        """Returns the hold of a crawl. Raises NotFoundError if the crawl was never held."""
        run = self.get(run_id)
        if run.hold is None:
            raise NotFoundError(f"Crawl {run_id} is not held.")
        return CrawlHold(run_id=run_id, hold=run.hold, examples=self._runs.get_hold_examples(run_id))

    def _finish_if_not_started(self, run: CrawlRun) -> None:
        """Ends a crawl that no scraper has started, so that it does not wait for a free scraper.

        The scraper skips the request of a finished run.
        """
        key = run_key(run.id)
        finished = RunFinished(
            run_id=run.id,
            source=run.source,
            finished_at=datetime.now(UTC),
            state=RunState.CANCELLED,
            reason="the crawl was cancelled",
            scraped=0,
            pages=0,
            errors=0,
            traceparent=current_traceparent(),
        )
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.watch(key)  # type: ignore[no-untyped-call]  # untyped in redis-py
            if pipeline.hexists(key, "attempt") or pipeline.hget(key, "finished") == b"1":
                return
            pipeline.multi()
            pipeline.hset(key, "finished", "1")
            pipeline.expire(key, _CANCELLED_RETENTION_SECONDS)
            StreamWriter(self._redis, RAW_STREAM).append_to(pipeline, [finished.model_dump_json()])
            try:
                pipeline.execute()
            except WatchError:
                return  # a scraper has just started the crawl and will stop it

    def list_latest(self, *, source: str | None, state: RunState | None = None, limit: int) -> list[CrawlRun]:
        return self._with_progress(self._runs.list_latest(source=source, state=state, limit=limit))

    def _with_progress(self, runs: list[CrawlRun]) -> list[CrawlRun]:
        """Applies the scraper's live counts to unfinished runs: they are newer than the database."""
        unfinished_runs = [run for run in runs if run.state in _UNFINISHED_STATES]
        if not unfinished_runs:
            return runs
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for run in unfinished_runs:
                    pipeline.hmget(run_key(run.id), *_LIVE_COUNTS)
                counts_by_run = {
                    run.id: counts for run, counts in zip(unfinished_runs, pipeline.execute(), strict=True)
                }
        except RedisError:
            return runs  # the counts in the database are correct but older
        return [_apply_live_counts(run, *counts_by_run[run.id]) if run.id in counts_by_run else run for run in runs]


def _apply_live_counts(run: CrawlRun, *values: bytes | None) -> CrawlRun:
    """`values` are the values of `_LIVE_COUNTS`."""
    live = dict(zip(_LIVE_COUNTS, (int(value or 0) for value in values), strict=True))
    counts = run.counts.model_copy(update={"scraped": max(run.counts.scraped, live["published"])})
    outcomes = {
        outcome.value: max(getattr(run.page_counts, outcome), live[page_count_name(outcome)]) for outcome in PageOutcome
    }
    return run.model_copy(
        update={
            "pages": max(run.pages, live["pages"]),
            "page_counts": PageCounts(**outcomes),
            "errors": max(run.errors, live["errors"]),
            "counts": counts,
        }
    )
