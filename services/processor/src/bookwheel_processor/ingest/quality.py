"""Counts the filled fields of valid items and the field errors of rejected items, per run."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from operator import attrgetter

from bookwheel_contracts.crawls import FILL_FIELDS
from bookwheel_stores.records.runs.quality import ErrorKey, RunQualityWriter

from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.decoding import AcceptedItem, RejectedEntry

_DETAILS = tuple(name for name in FILL_FIELDS if name not in ("authors", "price", "stock"))
_get_details = attrgetter(*_DETAILS)
_ENVELOPE_FIELDS = frozenset({"entry", "key", "run", "schema_version", "scraped_at", "source", "url"})
_MAX_CODE_LENGTH = 64


def record_quality(
    quality: RunQualityWriter,
    run_numbers: Mapping[str, int],
    accepted: Sequence[AcceptedItem],
    rejected: Sequence[RejectedEntry],
) -> None:
    """Add a batch to the counts of its runs. `run_numbers` is keyed by run id."""
    offers_by_run: dict[int, list[CleanOffer]] = defaultdict(list)
    for item in accepted:
        offers_by_run[run_numbers[item.raw_item.run_id]].append(item.offer)
    for number, offers in sorted(offers_by_run.items()):
        quality.add_valid(number, valid=len(offers), filled=count_filled_fields(offers))
    rejected_by_run: dict[int, list[RejectedEntry]] = defaultdict(list)
    for entry in rejected:
        if entry.run_id is not None:
            rejected_by_run[run_numbers[entry.run_id]].append(entry)
    for number, entries in sorted(rejected_by_run.items()):
        quality.add_invalid(number, invalid=len(entries), error_counts=count_field_errors(entries))


def count_filled_fields(offers: Sequence[CleanOffer]) -> dict[str, int]:
    """Count the offers that fill each field of `FILL_FIELDS`."""
    total = len(offers)
    columns = zip(*[_get_details(offer.details) for offer in offers], strict=True)
    filled = {name: total - column.count(None) for name, column in zip(_DETAILS, columns, strict=True)}
    filled["authors"] = sum(map(bool, [offer.details.authors for offer in offers]))
    filled["price"] = total - [offer.price for offer in offers].count(None)
    filled["stock"] = total - [offer.stock for offer in offers].count(None)
    return filled


def count_field_errors(rejected: Sequence[RejectedEntry]) -> dict[ErrorKey, int]:
    """Count the rejected entries by field and error code. Fields that items do not have are counted as `payload`."""
    error_counts: Counter[ErrorKey] = Counter()
    for entry in rejected:
        error_counts.update(
            {(_top_level_field(reason.field), reason.code[:_MAX_CODE_LENGTH]) for reason in entry.reasons}
        )
    return error_counts


def _top_level_field(path: str) -> str:
    name = path.partition(".")[0]
    return name if name in FILL_FIELDS or name in _ENVELOPE_FIELDS else "payload"
