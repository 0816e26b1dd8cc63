"""Starts a crawl through the API and follows it until its last item is searchable."""

import time
from collections.abc import Callable, Sequence

from bookwheel_contracts import FieldFaultCount
from bookwheel_contracts.crawls import CrawlRun, PageOutcome, RunState, Verdict

from bookwheel_local.client import SuiteClient
from bookwheel_local.errors import CrawlStalledError
from bookwheel_local.progress import ProgressLine

_POLL_SECONDS = 0.5
_STALLED_SECONDS = 180.0
_UNFINISHED_STATES = frozenset({RunState.QUEUED, RunState.RUNNING})
_STATES_WITH_CHANGES = frozenset({RunState.COMPLETE, RunState.PARTIAL})


def request_crawl(client: SuiteClient, source: str, start_url: str | None) -> CrawlRun:
    body = {"source": source} | ({"start_url": start_url} if start_url else {})
    return CrawlRun.model_validate(client.post("/api/v1/crawls", body))


def has_ended(run: CrawlRun) -> bool:
    """Whether the run has ended and its changes are searchable."""
    return run.state not in _UNFINISHED_STATES and (run.searchable or run.state not in _STATES_WITH_CHANGES)


def follow_crawl(
    client: SuiteClient, run: CrawlRun, progress: ProgressLine, *, sleep: Callable[[float], None] = time.sleep
) -> CrawlRun:
    """Returns the run after it has ended and its changes are searchable.

    Raises CrawlStalledError if neither the run nor a run ahead of it has changed for three minutes.
    """
    changed_at = time.monotonic()
    runs_ahead: list[CrawlRun] = []
    while not has_ended(run):
        progress.update(_progress_text(run, runs_ahead))
        sleep(_POLL_SECONDS)
        current = CrawlRun.model_validate(client.get(f"/api/v1/crawls/{run.id}"))
        current_ahead = _list_runs_ahead(client, current)
        if (current, current_ahead) != (run, runs_ahead):
            run, runs_ahead, changed_at = current, current_ahead, time.monotonic()
        elif time.monotonic() - changed_at > _STALLED_SECONDS:
            raise CrawlStalledError(
                f"crawl {run.id} made no progress for {_STALLED_SECONDS:.0f} s ({_progress_text(run, runs_ahead)}).\n"
                "Run `make status`, `make logs SERVICE=scraper` or `make logs SERVICE=processor`."
            )
    progress.clear()
    return run


def _list_runs_ahead(client: SuiteClient, run: CrawlRun) -> list[CrawlRun]:
    """Lists the running crawls that a queued crawl waits for. The scraper runs only a few at the same time."""
    if run.state is not RunState.QUEUED:
        return []
    page = client.get("/api/v1/crawls", state=RunState.RUNNING, limit=100)
    return [CrawlRun.model_validate(item) for item in page["items"]]


def _progress_text(run: CrawlRun, runs_ahead: Sequence[CrawlRun]) -> str:
    if runs_ahead:
        sources = ", ".join(run_ahead.source for run_ahead in runs_ahead)
        return f"crawl of {run.source}: queued after {sources}"
    processed = sum(getattr(run.counts, verdict) for verdict in Verdict)
    state = "waiting for the search index" if run.state not in _UNFINISHED_STATES else run.state
    pages = f"{run.pages:,} pages{_problem_text(run)}"
    return f"crawl of {run.source}: {state}, {pages}, {processed:,} items processed"


def _problem_text(run: CrawlRun) -> str:
    """The numbers of unreadable and failed pages, unless they are zero."""
    counts = {"unreadable": run.page_counts.unreadable, "failed": run.page_counts.failed}
    problems = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f" ({problems})" if problems else ""


def get_field_faults(client: SuiteClient, run: CrawlRun) -> list[FieldFaultCount]:
    """Returns the numbers of the run's fields that could not be read."""
    if not run.faults:
        return []
    reports = client.get("/api/v1/quality", run=run.id)["items"]
    return [FieldFaultCount.model_validate(item) for report in reports for item in report["field_faults"]]


def crawl_summary(run: CrawlRun, field_faults: Sequence[FieldFaultCount] = ()) -> str:
    """Formats the run's final state, the verdicts of its items, the outcomes of its pages and the faults of fields."""
    duration = (
        f" in {(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at and run.started_at else ""
    )
    reason = f" ({run.reason})" if run.reason else ""
    names = ["scraped", *(verdict.value for verdict in Verdict)]
    counts = [f"{getattr(run.counts, name):,}" for name in names]
    widths = [max(len(name), len(count)) for name, count in zip(names, counts, strict=True)]
    errors = f"{run.errors:,}"
    return "\n".join(
        (
            f"crawl {run.id} of {run.source}: {run.state}{reason}{duration}, {run.pages:,} pages, {errors} errors",
            "  " + "  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True)),
            "  " + "  ".join(count.rjust(width) for count, width in zip(counts, widths, strict=True)),
            *_page_lines(run),
            *_fault_lines(field_faults),
        )
    )


def _page_lines(run: CrawlRun) -> list[str]:
    counts = [f"{getattr(run.page_counts, outcome):,} {outcome}" for outcome in PageOutcome]
    if not any(getattr(run.page_counts, outcome) for outcome in PageOutcome):
        return []
    lines = [f"  pages: {', '.join(counts)}"]
    if run.page_counts.unreadable:
        lines.append(f"  unreadable pages: GET /api/v1/crawls/{run.id}/pages?outcome=unreadable")
    return lines


def _fault_lines(field_faults: Sequence[FieldFaultCount]) -> list[str]:
    return [f"  unreadable field: {fault.field} ({fault.code}) {fault.faults:,}x" for fault in field_faults]
