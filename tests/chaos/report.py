"""Writes outcomes as a Markdown table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tests.chaos.checks import Findings
from tests.chaos.rounds import Outcome

_ERROR_COUNTS = ("lost", "doubled", "accounting", "index", "lake")
_SUMS = ("books", "removed", "restored")
_HEADER = ("fault", "rounds", *_SUMS, *_ERROR_COUNTS, "not clean", "median s", "longest s")


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns a table with a row per fault and a row for all rounds. Seconds: until the crawl has ended."""
    if not outcomes:
        return "no rounds"
    names = sorted({outcome.fault for outcome in outcomes})
    rows = [_row(name, [outcome for outcome in outcomes if outcome.fault == name]) for name in names]
    rows.append(_row("all", outcomes))
    lines = [_HEADER, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    findings = [outcome.findings for outcome in outcomes]
    sums = [sum(getattr(entry, name) for entry in findings) for name in _ERROR_COUNTS]
    seconds = [outcome.seconds for outcome in outcomes]
    return (
        name,
        str(len(outcomes)),
        *(str(sum(getattr(outcome, name) for outcome in outcomes)) for name in _SUMS),
        *(str(count) for count in sums),
        str(sum(not entry.clean for entry in findings)),
        f"{median(seconds):.1f}",
        f"{max(seconds):.1f}",
    )


def write_json(path: Path, outcomes: Sequence[Outcome], *, engines: str, seed: int) -> None:
    rounds = [asdict(outcome) for outcome in outcomes]
    path.write_text(
        json.dumps({"engines": engines, "seed": seed, "rounds": rounds}, indent=1, ensure_ascii=False) + "\n"
    )


def read_json(path: Path, *, engines: str, seed: int) -> list[Outcome]:
    """Returns the outcomes in a file of `write_json`, if any. Raises ValueError for other engines or another seed."""
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    if (content["engines"], content["seed"]) != (engines, seed):
        raise ValueError(f"{path} has rounds on the {content['engines']} engines with SEED={content['seed']}")
    return [Outcome(**{**entry, "findings": Findings(**entry["findings"])}) for entry in content["rounds"]]
