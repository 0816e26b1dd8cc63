"""The outcomes as a table for people and as JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tests.chaos.checks import Findings
from tests.chaos.rounds import Outcome

_KINDS = ("lost", "doubled", "accounting", "index", "lake")
_SUMS = ("books", "removed", "restored")
_HEAD = ("fault", "rounds", *_SUMS, *_KINDS, "not clean", "median s", "longest s")


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, a line for each fault and one for all; `seconds` are until the crawl was settled."""
    if not outcomes:
        return "no round was played"
    names = sorted({outcome.fault for outcome in outcomes})
    rows = [_row(name, [one for one in outcomes if one.fault == name]) for name in names]
    rows.append(_row("all", outcomes))
    lines = [_HEAD, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    found = [outcome.findings for outcome in outcomes]
    sums = [sum(getattr(one, kind) for one in found) for kind in _KINDS]
    seconds = [outcome.seconds for outcome in outcomes]
    return (
        name,
        str(len(outcomes)),
        *(str(sum(getattr(outcome, name) for outcome in outcomes)) for name in _SUMS),
        *(str(count) for count in sums),
        str(sum(not one.clean for one in found)),
        f"{median(seconds):.1f}",
        f"{max(seconds):.1f}",
    )


def write_json(path: Path, outcomes: Sequence[Outcome], *, engines: str, seed: int) -> None:
    rounds = [asdict(outcome) for outcome in outcomes]
    path.write_text(
        json.dumps({"engines": engines, "seed": seed, "rounds": rounds}, indent=1, ensure_ascii=False) + "\n"
    )


def read_json(path: Path, *, engines: str, seed: int) -> list[Outcome]:
    """The outcomes that `write_json` left there, none where there is no file. Raises ValueError where they are of other
    engines or of another seed."""
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    if (found["engines"], found["seed"]) != (engines, seed):
        raise ValueError(f"{path} has rounds on the {found['engines']} engines with SEED={found['seed']}")
    return [Outcome(**{**each, "findings": Findings(**each["findings"])}) for each in found["rounds"]]
