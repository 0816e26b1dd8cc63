"""Writes docs/reference/metrics.md from the programs' own metrics, so that it can't be wrong for long.

With `--check`, says whether the file is current instead.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from tools.pages import keep_current

PAGE = Path("docs/reference/metrics.md")
INTRODUCTION = """\
# Metrics

Made by `make docs` from the programs themselves. Each serves `/metrics` in Prometheus' text format: accounts,
catalog-api and ml-serving on the port of their API, the other programs on `BOOKWHEEL_METRICS_PORT` (9464 in the images;
`make up` takes its port base + 10 to + 13: trainer, scraper, worker, scheduler), the gateway on
`BOOKWHEEL_GATEWAY_METRICS_LISTEN` (port base + 14). No `/metrics` is reached through the gateway's public port. Beside
these, each program tells what `prometheus_client` does: `process_cpu_seconds_total`, `process_resident_memory_bytes`
and the like.

A program of several processes (the catalog's, a worker's children) tells their sum. Counters begin at 0 when a
program starts. Routes are templates, `unmatched` where there is none, so what clients send makes no new series. Probes
and scrapes are not counted.
"""
_GATEWAY = (
    (
        "bookwheel_gateway_connections",
        "gauge",
        "`state`",
        "Connections: `reading`, `writing`, `waiting`.",
    ),
    ("bookwheel_gateway_connections_opened_total", "counter", "", "Connections since nginx started, to all sides."),
)
Row = tuple[str, str, str, str]


def _rows(module: str, *names: str) -> list[Row]:
    """Of a module's metrics, or of those named."""
    found = vars(import_module(module))
    named = {name: found[name] for name in names} or found
    return [_row(each) for each in named.values() if isinstance(each, MetricWrapperBase)]


def _row(metric: MetricWrapperBase) -> Row:
    [family] = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return name, family.type, _labels(metric._labelnames), family.documentation  # noqa: SLF001 - told by nothing else


def _labels(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def table(rows: Iterable[Row]) -> str:
    head = ["| name | type | labels | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in rows)])


def page() -> str:
    families = import_module("bookwheel_processor.worker.suite_metrics").FAMILIES
    suite = [(name, "gauge", _labels(labels), text) for name, (labels, text) in families.items()]
    sections = {
        "accounts, catalog-api, ml-serving": _rows("bookwheel_runtime.metrics", "REQUESTS", "REQUEST_SECONDS"),
        "processor-worker, trainer": [
            *_rows("bookwheel_runtime.metrics", "TASKS", "TASK_SECONDS"),
            *_rows("bookwheel_processor.worker.jobs"),
        ],
        "scraper": _rows("bookwheel_scraper.service.metrics"),
        "processor-beat, of the whole suite": suite,
        "gateway": list(_GATEWAY),
    }
    parts = [INTRODUCTION.strip()]
    for title, rows in sections.items():
        parts += [f"## {title}", table(rows)]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    return keep_current(PAGE, page())


if __name__ == "__main__":
    raise SystemExit(main())
