"""What `make status` shows: programs, their health, the work that waits, the latest crawls."""

import time
from collections.abc import Sequence

from bookwheel_contracts.crawls import CRAWL_STREAM, RAW_STREAM, CrawlRun, Verdict
from bookwheel_contracts.predictions import PREDICTION_STREAM
from bookwheel_stores.streams import connect_redis
from redis.exceptions import RedisError

from bookwheel_local.readiness import Health

_STREAMS = {"items": RAW_STREAM, "crawl requests": CRAWL_STREAM, "predictions": PREDICTION_STREAM}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first row is the head."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def program_table(healths: Sequence[Health], *, now: float | None = None) -> str:
    now = time.time() if now is None else now
    rows = [("PROGRAM", "STATE", "HEALTH", "PORT", "UP FOR", "PID")]
    for health in healths:
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


def backlog(redis_url: str) -> str:
    """How much waits in each stream."""
    redis = connect_redis(redis_url)
    try:
        waiting = {name: int(redis.xlen(stream)) for name, stream in _STREAMS.items()}
    except RedisError as error:
        return f"waiting: unknown, Redis does not answer ({error})"
    finally:
        redis.close()
    return "waiting: " + ", ".join(f"{count:,} {name}" for name, count in waiting.items())


def crawl_table(runs: Sequence[CrawlRun]) -> str:
    rows = [("CRAWL", "SOURCE", "STATE", "STARTED", *(verdict.upper() for verdict in Verdict))]
    for run in runs:
        started = run.started_at.strftime("%Y-%m-%d %H:%M:%SZ") if run.started_at else ""
        counts = (f"{getattr(run.counts, verdict):,}" for verdict in Verdict)
        rows.append((run.id, run.source, run.state, started, *counts))
    return table(rows) if runs else "no crawl yet"
