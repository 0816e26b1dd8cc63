"""Which sources there are, and the way to have one crawled."""

import secrets
from datetime import UTC, datetime

from bookwheel_contracts import CrawlRequest, CrawlRun, RunState
from bookwheel_contracts.problems import (
    ConflictError,
    FieldError,
    InvalidParameterError,
    NotFoundError,
    UnavailableError,
)
from bookwheel_contracts.redis_keys import CRAWL_STREAM, SOURCES_KEY, run_key
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.records import RunStore
from bookwheel_stores.streams import StreamWriter
from redis import Redis
from redis.exceptions import RedisError

from bookwheel_catalog.models import CrawlOrder, DeclaredSource

_AWAY = "Redis is away, and crawls can't be asked for or followed without it."


def _rejected(field: str, code: str, message: str) -> InvalidParameterError:
    return InvalidParameterError(f"{field}: {message}", errors=(FieldError(field=field, code=code, message=message),))


class Sources:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def declared(self) -> list[DeclaredSource]:
        """By name. Raises Unavailable while Redis is away."""
        try:
            found = self._redis.hgetall(SOURCES_KEY)
        except RedisError as error:
            raise UnavailableError(_AWAY, retry_after=1) from error
        return sorted(map(DeclaredSource.model_validate_json, found.values()), key=lambda each: each.name)

    def get(self, name: str) -> DeclaredSource:
        """Raises InvalidParameter for a source that nobody declared."""
        declared = {source.name: source for source in self.declared()}
        if name not in declared:
            known = ", ".join(declared) or "none, as no scraper has started yet"
            raise _rejected("source", "unknown_source", f"there is no such source; declared: {known}")
        return declared[name]


class CrawlOrders:
    def __init__(self, redis: Redis, runs: RunStore, sources: Sources) -> None:
        self._redis = redis
        self._runs = runs
        self._sources = sources

    def place(self, order: CrawlOrder, *, requested_by: str) -> CrawlRun:
        """Asks the scraper for a crawl. Raises InvalidParameter, or Unavailable while Redis is away."""
        source = self._sources.get(order.source)
        if source.requires_start_url and order.start_url is None:
            raise _rejected("start_url", "missing", f"the source {source.name} needs one")
        request = CrawlRequest(
            run_id=secrets.token_hex(16),
            source=source.name,
            start_url=None if order.start_url is None else str(order.start_url),
            requested_at=datetime.now(UTC),
            requested_by=requested_by,
            traceparent=current_traceparent(),
        )
        # The stream first: a run that is noted but in no stream would stay queued for ever, while one in the stream
        # is noted by its own first event at the latest.
        try:
            StreamWriter(self._redis, CRAWL_STREAM).publish([request.model_dump_json()])
        except RedisError as error:
            raise UnavailableError(_AWAY, retry_after=1) from error
        self._runs.create_requested(request)
        return self.get(request.run_id)

    def get(self, run_id: str) -> CrawlRun:
        """A run as it is now. Raises NotFound."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFoundError(f"There is no crawl {run_id}.")
        return self._with_progress([run])[0]

    def decide(self, run_id: str, *, release: bool, by: str) -> CrawlRun:
        """An operator's decision on a held run. Raises NotFound, or Conflict for a run that is not held."""
        is_decided = self._runs.decide(run_id, release=release, by=by, now=datetime.now(UTC))
        run = self.get(run_id)
        if not is_decided:
            raise ConflictError(f"The crawl {run_id} is {run.state.value}: only one that is held can be decided on.")
        return run

    def latest(self, *, source: str | None, state: RunState | None = None, limit: int) -> list[CrawlRun]:
        return self._with_progress(self._runs.list_latest(source=source, state=state, limit=limit))

    def _with_progress(self, runs: list[CrawlRun]) -> list[CrawlRun]:
        """While a run lasts, the scraper is ahead of the records: its own counts show what it has done so far."""
        unfinished = [run for run in runs if run.state in {RunState.QUEUED, RunState.RUNNING}]
        if not unfinished:
            return runs
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for run in unfinished:
                    pipe.hmget(run_key(run.id), "pages", "published", "errors")
                progress = {run.id: found for run, found in zip(unfinished, pipe.execute(), strict=True)}
        except RedisError:
            return runs  # the records' own counts are true, if behind
        return [_advanced(run, *progress[run.id]) if run.id in progress else run for run in runs]


def _advanced(run: CrawlRun, pages: bytes | None, published: bytes | None, errors: bytes | None) -> CrawlRun:
    counts = run.counts.model_copy(update={"scraped": max(run.counts.scraped, int(published or 0))})
    return run.model_copy(
        update={
            "pages": max(run.pages, int(pages or 0)),
            "errors": max(run.errors, int(errors or 0)),
            "counts": counts,
        }
    )
