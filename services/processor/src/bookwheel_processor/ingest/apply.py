"""Reads the rows of items, classifies the items, plans the row changes and writes them, in the caller's transaction.

Only this module reads and writes rows. `classification` and `plan` decide which rows change.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from bookwheel_contracts import Verdict
from bookwheel_stores.records.catalog.writer import CatalogWriter, OfferKey
from bookwheel_stores.records.database.dialect import Row
from bookwheel_stores.records.runs.missing_offers import CompleteRuns, MissingOffers

from bookwheel_processor.ingest import rows
from bookwheel_processor.ingest.approval import RunApproval
from bookwheel_processor.ingest.book_plan import BookUpdate
from bookwheel_processor.ingest.classification import (
    ChangeOrigin,
    ClassifiedOffers,
    IncomingOffer,
    Sighting,
    classify_offers,
)
from bookwheel_processor.ingest.decoding import AcceptedItem
from bookwheel_processor.ingest.plan import (
    CatalogPlan,
    OffersByBook,
    apply_moves_of_removed_offers,
    group_by_book,
    group_removed_by_book,
    plan_offers,
    plan_removal,
)

_NO_APPROVALS: Mapping[str, RunApproval] = MappingProxyType({})


def apply_items(
    writer: CatalogWriter,
    missing_offers: MissingOffers,
    items: Sequence[AcceptedItem],
    approvals: Mapping[str, RunApproval] = _NO_APPROVALS,
) -> tuple[list[Verdict | None], int]:
    """Apply items; return their verdicts in the same order and the sequence of the last change.

    The sequence is 0 if no book changed. A verdict is None if the run may not change the catalog yet. The caller must
    stage such an item.
    """
    verdicts: dict[int, Verdict | None] = {}
    changes: list[Row] = []
    passes = _split_into_passes(items)
    if passes:
        # One pass locks its rows in the order of their keys, so such transactions share the catalog lock. Several
        # passes do not keep this order and could deadlock, so they take the catalog lock alone.
        writer.lock(exclusive=len(passes) > 1)
    stale = _find_stale(missing_offers, items)
    for positions in passes:
        positions_by_key = {items[position].key: position for position in positions}
        offer_rows = writer.lock_offers(positions_by_key)
        incoming = [_incoming_offer(items[position], offer_rows.get(key)) for key, position in positions_by_key.items()]
        stale_keys = {items[position].key for position in positions if position in stale} if stale else ()
        classified = classify_offers(incoming, approvals, stale_keys)
        verdicts |= {positions_by_key[key]: verdict for key, verdict in classified.verdicts.items()}
        changes += _apply_classified(writer, classified)
        for runs, stale_items in _group_stale(items, positions, stale):
            changes += _remove_stale(writer, runs, stale_items)
    return [verdicts[position] for position in range(len(items))], writer.add_changes(changes)


def remove_offers(writer: CatalogWriter, offers: Sequence[Row], *, run_id: str, removed_at: int) -> int:
    """Remove missing offers; return the sequence of the last change, or 0 if no book changed.

    `offers` have the columns `number`, `book_number`, `source` and `source_key`.
    """
    return writer.add_changes(_remove(writer, offers, ChangeOrigin(removed_at, run_id)))


def restore_offers(writer: CatalogWriter, offers: Sequence[Row], *, run_id: str, restored_at: int) -> int:
    """Restore removed offers; return the sequence of the last change, or 0 if no book changed.

    `offers` have all columns of their rows.
    """
    incoming = []
    for row in offers:
        sighting = Sighting(row["last_seen"], row["last_run"], row["last_item"])
        incoming.append(IncomingOffer(rows.build_offer(row), rows.copy_offer_columns(row), sighting, row, restored_at))
    origin = ChangeOrigin(restored_at, run_id)
    return writer.add_changes(_apply_classified(writer, ClassifiedOffers(changed=incoming), origin=origin))


def _split_into_passes(items: Sequence[AcceptedItem]) -> list[list[int]]:
    """Group the positions of the items into passes, so that each offer occurs at most once per pass."""
    passes: list[list[int]] = []
    counts: dict[OfferKey, int] = defaultdict(int)
    for position, item in enumerate(items):
        pass_index = counts[item.key]
        counts[item.key] += 1
        if pass_index == len(passes):
            passes.append([])
        passes[pass_index].append(position)
    return passes


def _incoming_offer(item: AcceptedItem, row: Row | None) -> IncomingOffer:
    return IncomingOffer(item.offer, item.columns, item.sighting, row, item.sighting.seen_at)


def _find_stale(missing_offers: MissingOffers, items: Sequence[AcceptedItem]) -> dict[int, CompleteRuns]:
    """Map the position of each stale item to the complete runs that make it stale.

    These runs started after the item was scraped and did not see its offer.
    """
    oldest_by_source: dict[str, int] = {}
    for item in items:
        source, seen_at = item.offer.source, item.sighting.seen_at
        oldest_by_source[source] = min(seen_at, oldest_by_source.get(source, seen_at))
    stale: dict[int, CompleteRuns] = {}
    for source, runs in missing_offers.get_complete_runs_after(oldest_by_source).items():
        source_key_by_position = {
            position: item.offer.source_key
            for position, item in enumerate(items)
            if item.offer.source == source and runs.is_missing(item.sighting.seen_at, item.sighting.run_id)
        }
        seen_keys = missing_offers.find_seen_keys(runs, set(source_key_by_position.values()))
        stale |= {position: runs for position, key in source_key_by_position.items() if key not in seen_keys}
    return stale


def _group_stale(
    items: Sequence[AcceptedItem], positions: Sequence[int], stale: Mapping[int, CompleteRuns]
) -> Collection[tuple[CompleteRuns, list[AcceptedItem]]]:
    """Group the stale items at these positions by source."""
    groups: dict[str, tuple[CompleteRuns, list[AcceptedItem]]] = {}
    if stale:
        for position in positions:
            if position in stale:
                runs = stale[position]
                groups.setdefault(runs.source, (runs, []))[1].append(items[position])
    return groups.values()


def _remove_stale(writer: CatalogWriter, runs: CompleteRuns, items: Sequence[AcceptedItem]) -> list[Row]:
    """Remove each live offer whose last sighting is one of these stale items."""
    offer_rows = writer.lock_offers({item.key for item in items})
    removed = []
    for item in items:
        row = offer_rows.get(item.key)
        if row and row["removed_at"] is None and item.sighting == (row["last_seen"], row["last_run"], row["last_item"]):
            removed.append(row)
    return _remove(writer, removed, ChangeOrigin(runs.ended_at, runs.ids[0])) if removed else []


def _apply_classified(
    writer: CatalogWriter, offers: ClassifiedOffers, *, origin: ChangeOrigin | None = None
) -> list[Row]:
    updates: list[BookUpdate] = []
    affected = [*offers.changed, *offers.earlier_first_seen, *offers.stale_but_removed]
    if affected:
        book_ids = {incoming.offer.book_id for incoming in (*offers.changed, *offers.stale_but_removed)}
        books = writer.lock_books(book_ids, {incoming.row["book_number"] for incoming in affected if incoming.row})
        offers = apply_moves_of_removed_offers(offers, books)
        updates = group_by_book(offers, books, origin=origin)
    return _write(writer, plan_offers(offers, updates, _load_offers(writer, updates)))


def _remove(writer: CatalogWriter, offers: Sequence[Row], origin: ChangeOrigin) -> list[Row]:
    books = writer.lock_books((), {row["book_number"] for row in offers})
    updates = group_removed_by_book(offers, books, origin=origin)
    offers_by_book = _load_offers(writer, updates)
    return _write(writer, plan_removal(offers, updates, offers_by_book, removed_at=origin.changed_at))


def _load_offers(writer: CatalogWriter, updates: Sequence[BookUpdate]) -> OffersByBook:
    """Load the live offers of the updated books, by book number.

    Set `first_seen` of the updates whose book may have it from an offer that the book no longer has.
    """
    numbers = [update.row["number"] for update in updates if update.row]
    if not numbers:
        return {}
    first_seen = writer.first_seen_by_offer(
        [update.row["number"] for update in updates if update.row and update.needs_first_seen]
    )
    for update in updates:
        if update.row and update.needs_first_seen:
            update.first_seen = first_seen.get(update.row["number"], {})
    return writer.list_offers(numbers)


def _write(writer: CatalogWriter, plan: CatalogPlan) -> list[Row]:
    """Write all rows of a plan except its changes; return the changes with their book numbers.

    The caller writes the changes last.
    """
    book_numbers = plan.book_numbers | writer.add_books(plan.new_books)
    writer.update_books(plan.changed_books)
    for row in (*plan.new_offers, *plan.changed_offers, *plan.changes):
        row["book_number"] = book_numbers[row.pop("book_id")]
    offer_numbers = plan.offer_numbers | writer.add_offers(plan.new_offers)
    for updated_rows in (plan.changed_offers, *plan.offer_updates_without_change):
        writer.update_offers(updated_rows)
    for row in plan.observations:
        row["offer_number"] = offer_numbers[row.pop("offer_key")]
    writer.add_observations(plan.observations, superseding=plan.superseded)
    writer.remove_offers(plan.removed_offers, removed_at=plan.removed_at)
    return plan.changes
