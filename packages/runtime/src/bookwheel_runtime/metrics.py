"""Prometheus metrics of requests and tasks."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE_LATEST", "count_request", "count_task", "metrics_page"]

# Prometheus does not use the `_created` series of counters.
disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types

REQUESTS = Counter(
    "bookwheel_http_requests", "HTTP requests by method, route template and status.", ["method", "route", "status"]
)
REQUEST_SECONDS = Histogram(
    "bookwheel_http_request_duration_seconds",
    "Time from a request to the end of its response, by method and route template.",
    ["method", "route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TASKS = Counter(
    "bookwheel_tasks",
    "Tasks that a worker has run, by outcome. A failed task is retried.",
    ["task", "outcome"],
)
TASK_SECONDS = Histogram(
    "bookwheel_task_duration_seconds",
    "Duration of the tasks of a worker.",
    ["task"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_counters_by_labels: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Counts a request. `route` is a path template, because the number of time series must be bounded."""
    counters = _counters_by_labels.get((method, route, status))
    if counters is None:
        counters = _counters(method, route, status)
    requests, duration = counters
    requests.inc()
    duration.observe(seconds)


def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    if method not in _METHODS:
        method = "OTHER"
    counters = REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(method, route)
    _counters_by_labels[method, route, status] = counters
    return counters


@contextmanager
def count_task(name: str) -> Iterator[None]:
    """Counts the block as one task. The task has failed if the block raises an exception."""
    started, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "succeeded"
    finally:
        TASKS.labels(name, outcome).inc()
        TASK_SECONDS.labels(name).observe(time.perf_counter() - started)


def metrics_page(*collectors: Collector) -> bytes:
    """Returns the metrics of all processes of this program (see `share_metrics`) and the metrics of `collectors`."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # has no types
        ProcessCollector(registry=registry)
    else:
        registry.register(REGISTRY)
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)
