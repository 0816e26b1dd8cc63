"""What of the items' fields is filled, and what is wrong with those that the rules refuse, as counts by run."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from operator import attrgetter

from bookwheel_contracts.crawls import FILL_FIELDS
from bookwheel_stores.records.runs.quality_writer import Fault, RunQualityWriter

from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.decoding import Accepted, Refused

_FACTS = tuple(name for name in FILL_FIELDS if name not in ("authors", "price", "stock"))
_facts_of = attrgetter(*_FACTS)
_BESIDE = frozenset({"entry", "key", "run", "schema_version", "scraped_at", "source", "url"})
_LONGEST_CODE = 64


def record_quality(
    quality: RunQualityWriter, runs: Mapping[str, int], accepted: Sequence[Accepted], refused: Sequence[Refused]
) -> None:
    """Adds the items to their runs' figures. `runs` has the numbers by id."""
    offers: dict[str, list[CleanOffer]] = defaultdict(list)
    for one in accepted:
        offers[one.item.run_id].append(one.offer)
    for run_id, found in sorted(offers.items(), key=lambda each: runs[each[0]]):
        quality.add_valid(runs[run_id], valid=len(found), filled=filled_fields(found))
    faulty: dict[str, list[Refused]] = defaultdict(list)
    for refusal in refused:
        if refusal.run_id is not None:
            faulty[refusal.run_id].append(refusal)
    for run_id, refusals in sorted(faulty.items(), key=lambda each: runs[each[0]]):
        quality.add_invalid(runs[run_id], invalid=len(refusals), faults=faults_of(refusals))


def filled_fields(offers: Sequence[CleanOffer]) -> dict[str, int]:
    """How many of them fill each field of `FILL_FIELDS`."""
    total = len(offers)
    columns = zip(*[_facts_of(offer.facts) for offer in offers], strict=True)
    filled = {name: total - column.count(None) for name, column in zip(_FACTS, columns, strict=True)}
    filled["authors"] = sum(map(bool, [offer.facts.authors for offer in offers]))
    filled["price"] = total - [offer.price for offer in offers].count(None)
    filled["stock"] = total - [offer.stock for offer in offers].count(None)
    return filled


def faults_of(refused: Sequence[Refused]) -> dict[Fault, int]:
    """How many of them are refused for each reason. Fields that no item has count as `payload`."""
    faults: Counter[Fault] = Counter()
    for one in refused:
        faults.update({(_field_of(reason.field), reason.code[:_LONGEST_CODE]) for reason in one.reasons})
    return faults


def _field_of(path: str) -> str:
    name = path.partition(".")[0]
    return name if name in FILL_FIELDS or name in _BESIDE else "payload"
