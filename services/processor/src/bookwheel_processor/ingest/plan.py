"""Which rows of the catalog change with classified offers. Pure: gets rows, returns row changes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bookwheel_stores.records.catalog.writer import OfferKey
from bookwheel_stores.records.database.dialect import Row

from bookwheel_processor.ingest import rows
from bookwheel_processor.ingest.book_plan import BookUpdate, plan_book
from bookwheel_processor.ingest.classification import ClassifiedOffers, IncomingOffer, Sighting

OffersByBook = Mapping[int, Sequence[Row]]


@dataclass(slots=True)
class CatalogPlan:
    """Row changes, in the order in which they are written.

    A new row gets its number when it is written. Until then offers and changes name their book by `book_id`, and
    observations name their offer by `offer_key`; `book_numbers` and `offer_numbers` are those of existing rows.
    Each list of `offer_updates` has rows with the same columns. Observations in force of the `superseded` offers end.
    """

    new_books: list[Row] = field(default_factory=list)
    changed_books: list[Row] = field(default_factory=list)
    book_numbers: dict[str, int] = field(default_factory=dict)
    new_offers: list[Row] = field(default_factory=list)
    changed_offers: list[Row] = field(default_factory=list)
    offer_updates: list[list[Row]] = field(default_factory=list)
    offer_numbers: dict[OfferKey, int] = field(default_factory=dict)
    observations: list[Row] = field(default_factory=list)
    superseded: set[int] = field(default_factory=set)
    removed_offers: list[int] = field(default_factory=list)
    removed_at: int = 0
    changes: list[Row] = field(default_factory=list)


def resolve_late_offers(offers: ClassifiedOffers, books: Mapping[str, Row]) -> ClassifiedOffers:
    """Count a late offer as changed where its item names another book than its row.

    Such an offer moves to that book, and a second step removes it again.
    """
    book_ids = _book_ids(books)
    moved = [item for item in offers.late if item.row and book_ids[item.row["book_number"]] != item.offer.book_id]
    if not moved:
        return offers
    late = [item for item in offers.late if item not in moved]
    return replace(offers, changed=[*offers.changed, *moved], late=late)


def group_by_book(
    offers: ClassifiedOffers, books: Mapping[str, Row], *, cause: Sighting | None = None
) -> list[BookUpdate]:
    """The updates of the books whose offers change, in the order of their ids. `books` by id.

    Each item is the cause of its update, unless there is another `cause`.
    """
    book_ids = _book_ids(books)
    updates: dict[str, BookUpdate] = {}

    def update_of(book_id: str, sighting: Sighting) -> BookUpdate:
        update = updates.get(book_id)
        if update is None:
            update = updates[book_id] = BookUpdate(book_id, books.get(book_id))
        update.sightings.append(cause or sighting)
        return update

    for item in offers.changed:
        update_of(item.offer.book_id, item.sighting).incoming.append(item)
        if item.row and book_ids[item.row["book_number"]] != item.offer.book_id:
            former = update_of(book_ids[item.row["book_number"]], item.sighting)
            former.moved.add(item.key)
            if item.is_live:
                former.removed.add(item.key)
    for item in offers.seen_earlier:
        if item.row:
            update = update_of(book_ids[item.row["book_number"]], item.sighting)
            update.seen_earlier[item.key] = item.sighting.seen_at
    return [updates[book_id] for book_id in sorted(updates)]


def group_removed_by_book(offers: Sequence[Row], books: Mapping[str, Row], *, cause: Sighting) -> list[BookUpdate]:
    """The updates of the books that lose these offers, in the order of their ids."""
    books_by_number = {row["number"]: row for row in books.values()}
    updates: dict[str, BookUpdate] = {}
    for row in offers:
        book = books_by_number[row["book_number"]]
        update = updates.setdefault(book["book_id"], BookUpdate(book["book_id"], book, sightings=[cause]))
        update.removed.add((row["source"], row["source_key"]))
    return [updates[book_id] for book_id in sorted(updates)]


def plan_offers(offers: ClassifiedOffers, updates: Sequence[BookUpdate], offers_by_book: OffersByBook) -> CatalogPlan:
    """Plan the step that applies classified offers. `offers_by_book` has the live offers of the updated books."""
    plan = _plan_books(updates, offers_by_book)
    for item in offers.changed:
        _plan_changed_offer(plan, item)
    plan.offer_updates = [
        [{"number": row["number"], **item.sighting_columns} for item, row in _with_rows(offers.seen_again)],
        [{"number": row["number"], "first_seen": item.first_seen} for item, row in _with_rows(offers.seen_earlier)],
        [{"number": row["number"], **item.columns, **item.sighting_columns} for item, row in _with_rows(offers.late)],
    ]
    return plan


def plan_removal(
    offers: Sequence[Row], updates: Sequence[BookUpdate], offers_by_book: OffersByBook, *, removed_at: int
) -> CatalogPlan:
    """Plan the step that removes offers from their books."""
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


def _plan_changed_offer(plan: CatalogPlan, item: IncomingOffer) -> None:
    row = {**item.columns, **item.sighting_columns, "removed_at": None, "book_id": item.offer.book_id}
    if item.row is None:
        identity = {"source": item.offer.source, "source_key": item.offer.source_key}
        plan.new_offers.append({**row, **identity, "first_seen": item.sighting.seen_at})
    else:
        plan.changed_offers.append({**row, "number": item.row["number"]})
        if item.is_live and not rows.differs_as_observed(item.row, item.columns):
            return
        plan.offer_numbers[item.key] = item.row["number"]
        plan.superseded.add(item.row["number"])
    plan.observations.append(rows.observation(item.key, item.valid_from, item.columns))


def _with_rows(offers: Sequence[IncomingOffer]) -> Iterator[tuple[IncomingOffer, Row]]:
    for item in offers:
        if item.row is not None:
            yield item, item.row


def _book_ids(books: Mapping[str, Row]) -> dict[int, str]:
    return {row["number"]: book_id for book_id, row in books.items()}
