"""Finds examples of what a held run would add, change and remove."""

from collections.abc import Sequence
from typing import Any

from bookwheel_contracts import HoldExamples, OfferExample
from bookwheel_stores.records.runs.approvals import RunApprovals, StagedItem
from bookwheel_stores.records.runs.missing_offers import CompleteRuns, MissingOffers
from sqlalchemy import Row

from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.decoding import AcceptedItem, decode_body
from bookwheel_processor.ingest.rows import build_offer

_EXAMPLES = 10
_MAX_TEXT_LENGTH = 200


def find_examples(
    approvals: RunApprovals, missing_offers: MissingOffers, run: Row[Any], complete_runs: CompleteRuns | None
) -> HoldExamples:
    """Return at most ten examples of each kind. `complete_runs` decide which offers are missing."""
    added = _decode(approvals.list_staged_examples(run, modifies=False, limit=_EXAMPLES))
    changed = _decode(approvals.list_staged_examples(run, modifies=True, limit=_EXAMPLES))
    rows_by_key = {
        row["source_key"]: row for row in approvals.get_offers(run.source, [offer.source_key for offer in changed])
    }
    missing = [] if complete_runs is None else missing_offers.list_missing(complete_runs, limit=_EXAMPLES)
    removed = approvals.get_offers(run.source, [row["source_key"] for row in missing]) if missing else []
    return HoldExamples(
        adds=tuple(_example(offer) for offer in added),
        changes=tuple(
            _change(build_offer(rows_by_key[offer.source_key]), offer)
            for offer in changed
            if offer.source_key in rows_by_key
        ),
        removes=tuple(_example(build_offer(row)) for row in removed),
    )


def _decode(items: Sequence[StagedItem]) -> list[CleanOffer]:
    entries = [decode_body(item.entry_id, item.body.encode()) for item in items]
    return [entry.offer for entry in entries if isinstance(entry, AcceptedItem)]


def _example(offer: CleanOffer) -> OfferExample:
    return OfferExample(key=offer.source_key, url=offer.url, title=offer.details.title)


def _change(before: CleanOffer, after: CleanOffer) -> OfferExample:
    old, new = _texts(before), _texts(after)
    fields = tuple(name for name in new if old.get(name) != new[name])
    return OfferExample(
        key=after.source_key,
        url=after.url,
        title=after.details.title,
        fields=fields,
        before={name: old.get(name) for name in fields},
        after={name: new[name] for name in fields},
    )


def _texts(offer: CleanOffer) -> dict[str, str | None]:
    """Return the values of an offer as text, by field."""
    price = f"{offer.price.amount} {offer.price.currency}" if offer.price else None
    values: dict[str, Any] = {"url": offer.url, "price": price, "stock": offer.stock, **offer.details.model_dump()}
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str | None:
    if value is None or value == ():
        return None
    text = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[: _MAX_TEXT_LENGTH - 1]}…"
