"""The declared sources, and crawls of them: requests, progress and decisions on held runs."""

import secrets
from datetime import UTC, datetime

from bookwheel_contracts import CrawlRequest, CrawlRun, RunState
from bookwheel_contracts.problems import ConflictError, NotFoundError, UnavailableError
from bookwheel_contracts.redis_keys import CRAWL_STREAM, SOURCES_KEY, run_key
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.records import RunStore
from bookwheel_stores.streams import StreamWriter
from redis import Redis
from redis.exceptions import RedisError

from bookwheel_catalog.crawls.models import CreateCrawl, DeclaredSource

_UNAVAILABLE = "Redis is unavailable: retry later."


class SourceRegistry:
    """The sources that the scraper declared in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def list(self) -> list[DeclaredSource]:
        """By name. Raises UnavailableError while Redis is unavailable."""
        try:
            fields = self._redis.hgetall(SOURCES_KEY)
        except RedisError as error:
            raise UnavailableError(_UNAVAILABLE, retry_after=1) from error
        sources = map(DeclaredSource.model_validate_json, fields.values())
        return sorted(sources, key=lambda source: source.name)

    def get(self, name: str) -> DeclaredSource:
        """Raises InvalidParameterError for a source that is not declared."""
        by_name = {source.name: source for source in self.list()}
        if name not in by_name:
            declared = ", ".join(by_name) or "none, because no scraper has started yet"
            raise invalid_field("source", "unknown_source", f"there is no such source; declared: {declared}")
        return by_name[name]


class CrawlService:
    def __init__(self, redis: Redis, runs: RunStore, sources: SourceRegistry) -> None:
        self._redis = redis
        self._runs = runs
        self._sources = sources

    def submit(self, body: CreateCrawl, *, requested_by: str) -> CrawlRun:
        """Sends a crawl request to the scraper. Raises InvalidParameterError, or UnavailableError without Redis."""
        source = self._sources.get(body.source)
        if source.requires_start_url and body.start_url is None:
            raise invalid_field("start_url", "missing", f"the source {source.name} needs one")
        request = CrawlRequest(
            run_id=secrets.token_hex(16),
            source=source.name,
            start_url=None if body.start_url is None else str(body.start_url),
            requested_at=datetime.now(UTC),
            requested_by=requested_by,
            traceparent=current_traceparent(),
        )
        # The stream first: a run that is recorded but in no stream would stay queued forever. A run in the stream is
        # recorded by its own first event at the latest.
        try:
            StreamWriter(self._redis, CRAWL_STREAM).publish([request.model_dump_json()])
        except RedisError as error:
            raise UnavailableError(_UNAVAILABLE, retry_after=1) from error
        self._runs.create_requested(request)
        return self.get(request.run_id)

    def get(self, run_id: str) -> CrawlRun:
        """Raises NotFoundError."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFoundError(f"There is no crawl {run_id}.")
        return self._with_progress([run])[0]

    def decide(self, run_id: str, *, release: bool, by: str) -> CrawlRun:
        """Records an operator's decision on a held run. Raises NotFoundError, or ConflictError if it is not held."""
        is_decided = self._runs.decide(run_id, release=release, by=by, now=datetime.now(UTC))
        run = self.get(run_id)
        if not is_decided:
            raise ConflictError(f"The crawl {run_id} is {run.state.value}: only a held one can be decided on.")
        return run

    def list_latest(self, *, source: str | None, state: RunState | None = None, limit: int) -> list[CrawlRun]:
        return self._with_progress(self._runs.list_latest(source=source, state=state, limit=limit))

    def _with_progress(self, runs: list[CrawlRun]) -> list[CrawlRun]:
        """Adds the scraper's own counts to unfinished runs: they are ahead of the records."""
        unfinished = [run for run in runs if run.state in {RunState.QUEUED, RunState.RUNNING}]
        if not unfinished:
            return runs
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for run in unfinished:
                    pipe.hmget(run_key(run.id), "pages", "published", "errors")
                progress = {run.id: counts for run, counts in zip(unfinished, pipe.execute(), strict=True)}
        except RedisError:
            return runs  # the records' own counts are right, only older
        return [_advance(run, *progress[run.id]) if run.id in progress else run for run in runs]


def _advance(run: CrawlRun, pages: bytes | None, published: bytes | None, errors: bytes | None) -> CrawlRun:
    counts = run.counts.model_copy(update={"scraped": max(run.counts.scraped, int(published or 0))})
    return run.model_copy(
        update={
            "pages": max(run.pages, int(pages or 0)),
            "errors": max(run.errors, int(errors or 0)),
            "counts": counts,
        }
    )
