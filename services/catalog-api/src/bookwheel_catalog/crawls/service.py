"""Lists the declared sources; requests crawls, reads their progress and decides on held crawls."""

import secrets
from datetime import UTC, datetime

from bookwheel_contracts import CrawlRequest, CrawlRun, RunState
from bookwheel_contracts.problems import ConflictError, NotFoundError
from bookwheel_contracts.redis_keys import CRAWL_STREAM, SOURCES_KEY, run_key
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.records import RunStore
from bookwheel_stores.streams import StreamWriter
from redis import Redis
from redis.exceptions import RedisError

from bookwheel_catalog.crawls.models import CreateCrawl, DeclaredSource


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
    def __init__(self, redis: Redis, runs: RunStore, sources: SourceRegistry) -> None:
        self._redis = redis
        self._runs = runs
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

    def list_latest(self, *, source: str | None, state: RunState | None = None, limit: int) -> list[CrawlRun]:
        return self._with_progress(self._runs.list_latest(source=source, state=state, limit=limit))

    def _with_progress(self, runs: list[CrawlRun]) -> list[CrawlRun]:
        """Applies the scraper's live counts to unfinished runs: they are newer than the database."""
        unfinished_runs = [run for run in runs if run.state in {RunState.QUEUED, RunState.RUNNING}]
        if not unfinished_runs:
            return runs
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for run in unfinished_runs:
                    pipeline.hmget(run_key(run.id), "pages", "published", "errors")
                counts_by_run = {
                    run.id: counts for run, counts in zip(unfinished_runs, pipeline.execute(), strict=True)
                }
        except RedisError:
            return runs  # the counts in the database are correct but older
        return [_apply_live_counts(run, *counts_by_run[run.id]) if run.id in counts_by_run else run for run in runs]


def _apply_live_counts(run: CrawlRun, pages: bytes | None, published: bytes | None, errors: bytes | None) -> CrawlRun:
    counts = run.counts.model_copy(update={"scraped": max(run.counts.scraped, int(published or 0))})
    return run.model_copy(
        update={
            "pages": max(run.pages, int(pages or 0)),
            "errors": max(run.errors, int(errors or 0)),
            "counts": counts,
        }
    )
