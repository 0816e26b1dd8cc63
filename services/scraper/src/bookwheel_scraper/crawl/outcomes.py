"""How a run ended."""

from enum import IntEnum
from typing import Literal, NamedTuple

from bookwheel_contracts.crawls import RunState


class Outcome(NamedTuple):
    state: Literal[RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED]
    reason: str | None


def outcome_of(*, stop_reason: str | None, published: int, errors: int, first_error: str | None) -> Outcome:
    """`complete` only when every page that was found was fetched; the reason is for people."""
    if stop_reason is not None:
        return Outcome(RunState.PARTIAL, stop_reason)
    if not errors:
        return Outcome(RunState.COMPLETE, None)
    reason = first_error or "unknown error"
    if errors > 1:
        reason = f"{errors} pages failed, the first: {reason}"
    return Outcome(RunState.PARTIAL if published else RunState.FAILED, reason[:1000])


class ExitStatus(IntEnum):
    """How the process of a crawl ended; any other status is a crash."""

    FINISHED = 0
    """The run's end is published."""
    TAKEN_OVER = 3
    """Another process has begun a later attempt of the run."""
    UNFINISHED = 4
    """It had to stop before it could publish the end: the run is due for another attempt."""
