"""Decides whether a finished run is held for an operator. Has no side effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bookwheel_contracts import Expectations, HoldReason, PageOutcome


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """The statistics of a run that has ended.

    - `known_offers`: the number of the source's offers when the run began
    - `offers_to_modify`, `offers_to_remove`: how many of them the run would change
    - `valid`, `rejected`: the number of its items
    - `covers_whole_source`: whether it is complete and crawled the whole source
    - `filled`: the number of valid items that have each field
    - `pages`: the number of pages by outcome
    """

    known_offers: int
    offers_to_modify: int
    offers_to_remove: int
    valid: int
    rejected: int
    covers_whole_source: bool
    filled: Mapping[str, int]
    pages: Mapping[PageOutcome, int] = field(default_factory=dict)


def reasons_to_hold(statistics: RunStatistics, expectations: Expectations, limit: int) -> tuple[HoldReason, ...]:
    """Return the reasons to hold a run. Empty if it may change the catalog."""
    return (
        *_check_share(statistics, limit),
        *_check_items(statistics, expectations),
        *_check_fill(statistics, expectations),
        *_check_pages(statistics, expectations),
    )


def _check_share(statistics: RunStatistics, limit: int) -> Sequence[HoldReason]:
    changes = statistics.offers_to_modify + statistics.offers_to_remove
    if changes <= limit:
        return ()
    message = (
        f"it would modify {statistics.offers_to_modify} and remove {statistics.offers_to_remove}"
        f" of {statistics.known_offers} offers, but only {limit} may change"
    )
    return (HoldReason(code="share", limit=limit, actual=changes, message=message),)


def _check_items(statistics: RunStatistics, expectations: Expectations) -> Sequence[HoldReason]:
    if expectations.items is None or not statistics.covers_whole_source or statistics.valid >= expectations.items:
        return ()
    message = f"it has {statistics.valid} valid items, but at least {expectations.items} are expected"
    return (HoldReason(code="items", limit=expectations.items, actual=statistics.valid, message=message),)


def _check_fill(statistics: RunStatistics, expectations: Expectations) -> Sequence[HoldReason]:
    reasons = []
    for name, minimum in sorted(expectations.fill.items()):
        share = (
            statistics.filled.get(name, 0) / statistics.valid if statistics.valid else float(not statistics.rejected)
        )
        if share < minimum:
            message = f"{share:.1%} of its items have {name}, but at least {minimum:.1%} are expected"
            reasons.append(HoldReason(code="fill", field=name, limit=minimum, actual=round(share, 4), message=message))
    return reasons


def _check_pages(statistics: RunStatistics, expectations: Expectations) -> Sequence[HoldReason]:
    total = sum(statistics.pages.values())
    reasons = []
    for outcome, maximum in sorted(expectations.pages.items()):
        share = statistics.pages.get(outcome, 0) / total if total else 0.0
        if share > maximum:
            message = f"{share:.1%} of its pages are {outcome.value}, but at most {maximum:.1%} may be"
            reasons.append(
                HoldReason(code="pages", field=outcome.value, limit=maximum, actual=round(share, 4), message=message)
            )
    return reasons
