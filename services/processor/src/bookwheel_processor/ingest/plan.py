"""Computes the row changes that classified offers cause. Has no side effects."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bookwheel_stores.records.catalog.writer import OfferKey
from bookwheel_stores.records.database.dialect import Row

from bookwheel_processor.ingest import rows
from bookwheel_processor.ingest.book_plan import BookUpdate, plan_book
from bookwheel_processor.ingest.classification import ChangeOrigin, ClassifiedOffers, IncomingOffer, Sighting

OffersByBook = Mapping[int, Sequence[Row]]


@dataclass(slots=True)
class CatalogPlan:
    """Row changes, in the order in which they are written.

    A new row gets its number when it is written. Until then offers and changes refer to their book by `book_id`, and
    observations refer to their offer by `offer_key`. `book_numbers` and `offer_numbers` contain the numbers of existing
    rows. The rows of each list in `offer_updates_without_change` have the same columns. `superseded` contains the
    numbers of offers whose current observation ends.
    """

    new_books: list[Row] = field(default_factory=list)
    changed_books: list[Row] = field(default_factory=list)
    book_numbers: dict[str, int] = field(default_factory=dict)
    new_offers: list[Row] = field(default_factory=list)
    changed_offers: list[Row] = field(default_factory=list)
    offer_updates_without_change: list[list[Row]] = field(default_factory=list)
    offer_numbers: dict[OfferKey, int] = field(default_factory=dict)
    observations: list[Row] = field(default_factory=list)
    superseded: set[int] = field(default_factory=set)
    removed_offers: list[int] = field(default_factory=list)
    removed_at: int = 0
    changes: list[Row] = field(default_factory=list)


def apply_moves_of_removed_offers(offers: ClassifiedOffers, books: Mapping[str, Row]) -> ClassifiedOffers:
    """Treat an offer of `stale_but_removed` as changed if its item belongs to another book than its row.

    The offer first moves to the other book. Then it is removed again, because its item is stale.
    """
    book_ids = _book_ids(books)
    moved = [
        incoming
        for incoming in offers.stale_but_removed
        if incoming.row and book_ids[incoming.row["book_number"]] != incoming.offer.book_id
    ]
    if not moved:
        return offers
    unmoved = [incoming for incoming in offers.stale_but_removed if incoming not in moved]
    return replace(offers, changed=[*offers.changed, *moved], stale_but_removed=unmoved)


def group_by_book(
    offers: ClassifiedOffers, books: Mapping[str, Row], *, origin: ChangeOrigin | None = None
) -> list[BookUpdate]:
    """Group the changes by book, in the order of the book ids. `books` is keyed by book id.

    Each item is the origin of its change, unless another `origin` is passed.
    """
    book_ids = _book_ids(books)
    updates: dict[str, BookUpdate] = {}

    def record_change(book_id: str, sighting: Sighting) -> BookUpdate:
        update = updates.get(book_id)
        if update is None:
            update = updates[book_id] = BookUpdate(book_id, books.get(book_id))
        update.origins.append(origin or ChangeOrigin(sighting.seen_at, sighting.run_id))
        return update

    for incoming in offers.changed:
        record_change(incoming.offer.book_id, incoming.sighting).incoming.append(incoming)
        if incoming.row and book_ids[incoming.row["book_number"]] != incoming.offer.book_id:
            former_update = record_change(book_ids[incoming.row["book_number"]], incoming.sighting)
            former_update.moved_offers.add(incoming.key)
            if incoming.is_live:
                former_update.removed.add(incoming.key)
    for incoming in offers.earlier_first_seen:
        if incoming.row:
            update = record_change(book_ids[incoming.row["book_number"]], incoming.sighting)
            update.earlier_first_seen[incoming.key] = incoming.sighting.seen_at
    return [updates[book_id] for book_id in sorted(updates)]


def group_removed_by_book(offers: Sequence[Row], books: Mapping[str, Row], *, origin: ChangeOrigin) -> list[BookUpdate]:
    """Group removed offers by book, in the order of the book ids. `books` is keyed by book id."""
    books_by_number = {row["number"]: row for row in books.values()}
    updates: dict[str, BookUpdate] = {}
    for row in offers:
        book = books_by_number[row["book_number"]]
        update = updates.setdefault(book["book_id"], BookUpdate(book["book_id"], book, origins=[origin]))
        update.removed.add((row["source"], row["source_key"]))
    return [updates[book_id] for book_id in sorted(updates)]


def plan_offers(offers: ClassifiedOffers, updates: Sequence[BookUpdate], offers_by_book: OffersByBook) -> CatalogPlan:
    """Plan the row changes of classified offers. `offers_by_book` contains the live offers of the updated books."""
    plan = _plan_books(updates, offers_by_book)
    for incoming in offers.changed:
        _plan_changed_offer(plan, incoming)
    plan.offer_updates_without_change = [
        [
            {"number": row["number"], **incoming.sighting_columns}
            for incoming, row in _existing_offers(offers.sighting_updates)
        ],
        [
            {"number": row["number"], "first_seen": incoming.first_seen}
            for incoming, row in _existing_offers(offers.earlier_first_seen)
        ],
        [
            {"number": row["number"], **incoming.columns, **incoming.sighting_columns}
            for incoming, row in _existing_offers(offers.stale_but_removed)
        ],
    ]
    return plan


def plan_removal(
    offers: Sequence[Row], updates: Sequence[BookUpdate], offers_by_book: OffersByBook, *, removed_at: int
) -> CatalogPlan:
    """Plan the row changes that remove offers from their books."""
    plan = _plan_books(updates, offers_by_book)
    plan.removed_offers, plan.removed_at = [row["number"] for row in offers], removed_at
    return plan


def _plan_books(updates: Sequence[BookUpdate], offers_by_book: OffersByBook) -> CatalogPlan:
    plan = CatalogPlan()
    for update in updates:
        offers: Sequence[Row] = ()
        if update.row is not None:
            plan.book_numbers[update.book_id] = update.row["number"]
            offers = offers_by_book.get(update.row["number"], ())
        planned = plan_book(update, offers)
        if planned is not None:
            book, change = planned
            (plan.new_books if update.row is None else plan.changed_books).append(book)
            plan.changes.append(change)
    return plan


def _plan_changed_offer(plan: CatalogPlan, incoming: IncomingOffer) -> None:
    row = {**incoming.columns, **incoming.sighting_columns, "removed_at": None, "book_id": incoming.offer.book_id}
    if incoming.row is None:
        identity = {"source": incoming.offer.source, "source_key": incoming.offer.source_key}
        plan.new_offers.append({**row, **identity, "first_seen": incoming.sighting.seen_at})
    else:
        plan.changed_offers.append({**row, "number": incoming.row["number"]})
        if incoming.is_live and not rows.observed_columns_differ(incoming.row, incoming.columns):
            return
        plan.offer_numbers[incoming.key] = incoming.row["number"]
        plan.superseded.add(incoming.row["number"])
    plan.observations.append(rows.build_observation(incoming.key, incoming.valid_from, incoming.columns))


def _existing_offers(offers: Sequence[IncomingOffer]) -> Iterator[tuple[IncomingOffer, Row]]:
    for incoming in offers:
        if incoming.row is not None:
            yield incoming, incoming.row


def _book_ids(books: Mapping[str, Row]) -> dict[int, str]:
    return {row["number"]: book_id for book_id, row in books.items()}
