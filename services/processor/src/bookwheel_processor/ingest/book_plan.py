"""How a book's row changes with its offers, and the change that the feed gets. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from bookwheel_contracts import ChangeKind
from bookwheel_stores.records.catalog.book_content import book_content
from bookwheel_stores.records.catalog.writer import OfferKey
from bookwheel_stores.records.database.dialect import Row

from bookwheel_processor.ingest import rows
from bookwheel_processor.ingest.classification import IncomingOffer, Sighting
from bookwheel_processor.ingest.merge import merge


@dataclass(slots=True)
class BookUpdate:
    """What changes of one book. `row` is the book's row before, None for a new book.

    - `incoming`: offers that are new, changed or gained from another book
    - `removed`: offers that the book no longer has
    - `moved`: offers of another book now, removed ones included
    - `seen_earlier`: earlier `first_seen` times of its offers
    - `sightings`: what caused the update
    - `first_seen`: of its offers, removed ones included; None where it is not needed
    """

    book_id: str
    row: Row | None
    incoming: list[IncomingOffer] = field(default_factory=list)
    removed: set[OfferKey] = field(default_factory=set)
    moved: set[OfferKey] = field(default_factory=set)
    seen_earlier: dict[OfferKey, int] = field(default_factory=dict)
    sightings: list[Sighting] = field(default_factory=list)
    first_seen: Mapping[OfferKey, int] | None = None

    @property
    def needs_first_seen(self) -> bool:
        """Whether the book's `first_seen` may come from an offer that it no longer has."""
        return self.row is not None and (bool(self.moved) or self.row["removed_at"] is not None)

    @property
    def last_sighting(self) -> Sighting:
        return self.sightings[0] if len(self.sightings) == 1 else max(self.sightings)


def plan_book(update: BookUpdate, offers: Sequence[Row]) -> tuple[Row, Row] | None:
    """The book's new row and its change; None where nothing that a book shows differs.

    `offers` are the live offers that it had before.
    """
    remaining: Sequence[Row] = offers
    if offers:
        replaced = {item.key for item in update.incoming} | update.removed
        remaining = [_with_first_seen(row, update) for row in offers if _key(row) not in replaced]
    merged_offers = [item.offer for item in update.incoming] + [rows.offer_of(row) for row in remaining]
    if not merged_offers:
        return _plan_removal(update, offers) if update.removed else None
    columns = rows.book_columns(merge(merged_offers))
    columns["first_seen"] = _first_seen(update)
    incoming = [rows.shown_offer(item.offer, item.columns, item.first_seen) for item in update.incoming]
    if update.row is not None:
        return _plan_revision(update, update.row, columns, [*incoming, *remaining])
    book = {"book_id": update.book_id, "last_changed": update.last_sighting.seen_at, "revision": 1, "removed_at": None}
    book |= columns
    return book, _change(update, ChangeKind.ADDED, (), book, [*incoming, *remaining])


def _with_first_seen(row: Row, update: BookUpdate) -> Row:
    seen_at = update.seen_earlier.get(_key(row))
    return row if seen_at is None else row | {"first_seen": seen_at}


def _first_seen(update: BookUpdate) -> int:
    """The earliest of the book's offers, removed ones included: removing an offer does not make a book newer."""
    times = [item.first_seen for item in update.incoming]
    times += update.seen_earlier.values()
    if update.first_seen is not None:
        times += [seen_at for key, seen_at in update.first_seen.items() if key not in update.moved]
    elif update.row is not None:
        times.append(update.row["first_seen"])
    return min(times)


def _plan_removal(update: BookUpdate, offers: Sequence[Row]) -> tuple[Row, Row] | None:
    """The change has the book's last content, with the offers that it had."""
    if update.row is None:
        return None
    book = _next_revision(update, update.row) | {name: update.row[name] for name in rows.BOOK_COLUMNS}
    book["removed_at"] = book["last_changed"]
    return book, _change(update, ChangeKind.REMOVED, (), update.row | book, offers)


def _next_revision(update: BookUpdate, row: Row) -> Row:
    return {
        "number": row["number"],
        "first_seen": row["first_seen"],
        "last_changed": max(update.last_sighting.seen_at, row["last_changed"]),
        "revision": row["revision"] + 1,
        "removed_at": None,
    }


def _plan_revision(update: BookUpdate, row: Row, columns: Row, offers: Sequence[Row]) -> tuple[Row, Row] | None:
    fields = rows.changed_fields(row, columns)
    if (
        update.removed
        or any(_changes_shown_offer(item, row["number"]) for item in update.incoming)
        or (update.seen_earlier and any(_key(offer) in update.seen_earlier for offer in offers))
    ):
        fields.add("offers")
    if not fields:
        return None
    kind = ChangeKind.MODIFIED if row["removed_at"] is None else ChangeKind.RESTORED
    book = _next_revision(update, row) | columns
    return book, _change(update, kind, fields, row | book, offers)


def _changes_shown_offer(item: IncomingOffer, book_number: int) -> bool:
    row = item.row
    if row is None or not item.is_live or row["book_number"] != book_number:
        return True
    return rows.differs_as_shown(row, item.columns)


def _change(update: BookUpdate, kind: ChangeKind, fields: Collection[str], book: Row, offers: Sequence[Row]) -> Row:
    return {
        "book_id": update.book_id,
        "revision": book["revision"],
        "kind": kind.value,
        "fields": orjson.dumps(sorted(fields)).decode() if fields else "[]",
        "changed_at": book["last_changed"],
        "run_id": update.last_sighting.run_id,
        "content": book_content(book, offers),
    }


def _key(row: Row) -> OfferKey:
    return row["source"], row["source_key"]
