"""The text of `make status`: this machine's programs and the suite's status."""

import time
from collections.abc import Sequence

from bookwheel_contracts.crawls import CrawlRun, Verdict
from bookwheel_contracts.status import (
    HEARTBEAT_TIMEOUT_SECONDS,
    IndexComparison,
    ProjectionLag,
    Replica,
    ServiceStatus,
    StreamLag,
    SuiteStatus,
)

from bookwheel_local.readiness import ProgramHealth

_MAX_REASON_LENGTH = 60


def table(rows: Sequence[Sequence[str]]) -> str:
    """Formats rows as a table. The first row is the header."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def program_table(programs: Sequence[ProgramHealth], *, now: float | None = None) -> str:
    now = time.time() if now is None else now
    rows = [("PROGRAM", "STATE", "HEALTH", "PORT", "UP FOR", "PID")]
    for health in programs:
        running = health.state.state == "RUNNING"
        rows.append(
            (
                health.program.name,
                health.state.state.lower(),
                health.reason or "ready",
                "".join(map(str, health.program.ports[:1])),
                _duration(now - health.state.since) if running else "",
                str(health.state.pid) if running else "",
            )
        )
    return table(rows)


def suite_text(status: SuiteStatus) -> str:
    """Formats the status of a suite. An unavailable part is missing; `faults` has the reason."""
    parts = [f"status: {status.status}", *(f"  {name}: {fault}" for name, fault in status.faults.items())]
    if status.services is not None:
        parts += ["", replica_table(status.services)]
    lines = []
    if status.streams is not None:
        lines.append(f"backlog: {_backlog(status.streams)}")
    if status.projections is not None:
        lines.append(f"lag: {', '.join(_lag(lag) for lag in status.projections)}")
    if status.index is not None:
        lines.append(f"index: {_comparison(status.index)}")
    if status.items is not None:
        lines.append("items: " + ", ".join(f"{count:,} {verdict}" for verdict, count in status.items.items()))
    if status.models is not None:
        lines.append("models: " + (", ".join(f"{model.name} {model.version}" for model in status.models) or "none yet"))
    parts += ["", *lines] if lines else []
    if status.crawls is not None:
        parts += ["", crawl_table(status.crawls)]
    return "\n".join(parts)


def replica_table(services: Sequence[ServiceStatus]) -> str:
    rows: list[tuple[str, ...]] = [("SERVICE", "REPLICA", "HEALTH", "VERSION", "UP FOR", "HEARTBEAT", "PROGRESS")]
    for service in services:
        rows += [(service.name, *_replica(replica)) for replica in service.replicas]
        if not service.replicas:
            rows.append((service.name, "none", "", "", "", "", ""))
    return table(rows)


def _replica(replica: Replica) -> tuple[str, ...]:
    is_silent = replica.silent_seconds >= HEARTBEAT_TIMEOUT_SECONDS
    progress = replica.progress_seconds
    return (
        replica.instance,
        "no heartbeat" if is_silent else " ".join((replica.reason or "ready").split())[:_MAX_REASON_LENGTH],
        replica.version,
        _duration((replica.seen_at - replica.started_at).total_seconds()),
        f"{_duration(replica.silent_seconds)} ago",
        "" if progress is None else f"{_duration(progress)} ago",
    )


def _backlog(streams: Sequence[StreamLag]) -> str:
    backlogs = [
        f"{lag.stream} for {lag.group}: {lag.lag:,} entries, oldest {_duration(lag.oldest_seconds or 0)}"
        for lag in streams
        if lag.lag
    ]
    return "; ".join(backlogs) or "none"


def _lag(lag: ProjectionLag) -> str:
    return f"{lag.name} {_duration(lag.seconds)}" + (f" ({lag.head - lag.cursor:,} changes)" if lag.seconds else "")


def _comparison(comparison: IndexComparison) -> str:
    rejected = f", {comparison.rejected:,} rejected permanently" if comparison.rejected else ""
    rebuild = ", is being rebuilt" if comparison.rebuild else ""
    return (
        f"{comparison.books:,} books compared at {comparison.at:%H:%M:%SZ}, {comparison.differing:,} differed,"
        f" {comparison.repaired:,} repaired{rejected}{rebuild}"
    )


def crawl_table(runs: Sequence[CrawlRun]) -> str:
    rows = [("CRAWL", "SOURCE", "STATE", "STARTED", *(verdict.upper() for verdict in Verdict))]
    for run in runs:
        started = run.started_at.strftime("%Y-%m-%d %H:%M:%SZ") if run.started_at else ""
        counts = (f"{getattr(run.counts, verdict):,}" for verdict in Verdict)
        rows.append((run.id, run.source, run.state, started, *counts))
    return table(rows) if runs else "no crawls yet"
