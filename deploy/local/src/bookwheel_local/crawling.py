"""Starts a crawl through the API and follows it until its last item is searchable."""

import time
from collections.abc import Callable, Sequence

from bookwheel_contracts.crawls import CrawlRun, RunState, Verdict

from bookwheel_local.client import SuiteClient
from bookwheel_local.errors import CrawlStalledError
from bookwheel_local.progress import Progress

_POLL_SECONDS = 0.5
_STALLED_SECONDS = 180.0
_UNDER_WAY = frozenset({RunState.QUEUED, RunState.RUNNING})
_PUBLISHED = frozenset({RunState.COMPLETE, RunState.PARTIAL})


def request_crawl(client: SuiteClient, source: str, start_url: str | None) -> CrawlRun:
    body = {"source": source} | ({"start_url": start_url} if start_url else {})
    return CrawlRun.model_validate(client.post("/api/v1/crawls", body))


def settled(run: CrawlRun) -> bool:
    """Whether nothing more will happen to the run: it has ended, and what it published is searchable."""
    return run.state not in _UNDER_WAY and (run.searchable or run.state not in _PUBLISHED)


def _line(run: CrawlRun, others: Sequence[CrawlRun]) -> str:
    if others:
        return f"crawl of {run.source}: queued, waits for others ({', '.join(other.source for other in others)})"
    seen = sum(getattr(run.counts, verdict) for verdict in Verdict)
    state = "waiting until all is searchable" if run.state not in _UNDER_WAY else run.state
    return f"crawl of {run.source}: {state}, {run.pages:,} pages, {seen:,} items processed"


def _waited_for(client: SuiteClient, run: CrawlRun) -> list[CrawlRun]:
    """The runs that a queued one waits for, as the scraper runs few at once."""
    if run.state is not RunState.QUEUED:
        return []
    found = client.get("/api/v1/crawls", state=RunState.RUNNING, limit=100)
    return [CrawlRun.model_validate(each) for each in found["items"]]


def follow(
    client: SuiteClient, run: CrawlRun, progress: Progress, *, sleep: Callable[[float], None] = time.sleep
) -> CrawlRun:
    """The run once it is settled.

    Raises CrawlStalled after three minutes without any change, of the run or of those that it waits for in the queue.
    """
    changed_at = time.monotonic()
    others: list[CrawlRun] = []
    while not settled(run):
        progress.update(_line(run, others))
        sleep(_POLL_SECONDS)
        found = CrawlRun.model_validate(client.get(f"/api/v1/crawls/{run.id}"))
        found_others = _waited_for(client, found)
        if (found, found_others) != (run, others):
            run, others, changed_at = found, found_others, time.monotonic()
        elif time.monotonic() - changed_at > _STALLED_SECONDS:
            raise CrawlStalledError(
                f"crawl {run.id} made no progress for {_STALLED_SECONDS:.0f} s ({_line(run, others)}).\n"
                "See: make status, make logs SERVICE=scraper, make logs SERVICE=processor"
            )
    progress.end_line()
    return run


def accounting(run: CrawlRun) -> str:
    """How the run ended and what became of its items, as text for people."""
    took = (
        f" in {(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at and run.started_at else ""
    )
    reason = f" ({run.reason})" if run.reason else ""
    names = ["scraped", *(verdict.value for verdict in Verdict)]
    counts = [f"{getattr(run.counts, name):,}" for name in names]
    widths = [max(len(name), len(count)) for name, count in zip(names, counts, strict=True)]
    return "\n".join(
        (
            f"crawl {run.id} of {run.source}: {run.state}{reason}{took}, {run.pages:,} pages, {run.errors:,} errors",
            "  " + "  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True)),
            "  " + "  ".join(count.rjust(width) for count, width in zip(counts, widths, strict=True)),
        )
    )
