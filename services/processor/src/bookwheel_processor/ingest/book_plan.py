"""Computes the new row of a book whose offers change, and the change for the feed. Has no side effects."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from bookwheel_contracts import ChangeKind
from bookwheel_stores.records.catalog.book_content import render_content
from bookwheel_stores.records.catalog.writer import OfferKey
from bookwheel_stores.records.database.dialect import Row

from bookwheel_processor.ingest import rows
from bookwheel_processor.ingest.classification import ChangeOrigin, IncomingOffer
from bookwheel_processor.ingest.merge import merge


@dataclass(slots=True)
class BookUpdate:
    """The changes of one book. `row` is the book's current row, None for a new book.

    - `incoming`: offers that are new, changed or moved to this book
    - `removed`: offers that the book no longer has
    - `moved_offers`: offers that now belong to another book, including removed ones
    - `earlier_first_seen`: earlier `first_seen` times of its offers
    - `origins`: the origins of the changes
    - `first_seen`: the `first_seen` times of its offers, including removed ones; None if they are not needed
    """

    book_id: str
    row: Row | None
    incoming: list[IncomingOffer] = field(default_factory=list)
    removed: set[OfferKey] = field(default_factory=set)
    moved_offers: set[OfferKey] = field(default_factory=set)
    earlier_first_seen: dict[OfferKey, int] = field(default_factory=dict)
    origins: list[ChangeOrigin] = field(default_factory=list)
    first_seen: Mapping[OfferKey, int] | None = None

    @property
    def needs_first_seen(self) -> bool:
        """Whether the book's `first_seen` may come from an offer that it no longer has."""
        return self.row is not None and (bool(self.moved_offers) or self.row["removed_at"] is not None)

    @property
    def last_origin(self) -> ChangeOrigin:
        return self.origins[0] if len(self.origins) == 1 else max(self.origins)


def plan_book(update: BookUpdate, offers: Sequence[Row]) -> tuple[Row, Row] | None:
    """Return the book's new row and its change, or None if the content that the book shows is unchanged.

    `offers` are its current live offers.
    """
    remaining: Sequence[Row] = offers
    if offers:
        replaced = {incoming.key for incoming in update.incoming} | update.removed
        remaining = [_with_first_seen(row, update) for row in offers if _key(row) not in replaced]
    merged_offers = [incoming.offer for incoming in update.incoming] + [rows.build_offer(row) for row in remaining]
    if not merged_offers:
        return _plan_removal(update, offers) if update.removed else None
    columns = rows.book_columns(merge(merged_offers))
    columns["first_seen"] = _first_seen(update)
    incoming_rows = [
        rows.shown_offer(incoming.offer, incoming.columns, incoming.first_seen) for incoming in update.incoming
    ]
    if update.row is not None:
        return _plan_revision(update, update.row, columns, [*incoming_rows, *remaining])
    book = {"book_id": update.book_id, "last_changed": update.last_origin.changed_at, "revision": 1, "removed_at": None}
    book |= columns
    return book, _change(update, ChangeKind.ADDED, (), book, [*incoming_rows, *remaining])


def _with_first_seen(row: Row, update: BookUpdate) -> Row:
    seen_at = update.earlier_first_seen.get(_key(row))
    return row if seen_at is None else row | {"first_seen": seen_at}


def _first_seen(update: BookUpdate) -> int:
    """Return the earliest `first_seen` of the book's offers. Removed offers count: their removal does not change it."""
    times = [incoming.first_seen for incoming in update.incoming]
    times += update.earlier_first_seen.values()
    if update.first_seen is not None:
        times += [seen_at for key, seen_at in update.first_seen.items() if key not in update.moved_offers]
    elif update.row is not None:
        times.append(update.row["first_seen"])
    return min(times)


def _plan_removal(update: BookUpdate, offers: Sequence[Row]) -> tuple[Row, Row] | None:
    """Plan the removal of a book. The change has the last content of the book and its last offers."""
    if update.row is None:
        return None
    book = _next_revision(update, update.row) | {name: update.row[name] for name in rows.BOOK_COLUMNS}
    book["removed_at"] = book["last_changed"]
    return book, _change(update, ChangeKind.REMOVED, (), update.row | book, offers)


def _next_revision(update: BookUpdate, row: Row) -> Row:
    return {
        "number": row["number"],
        "first_seen": row["first_seen"],
        "last_changed": max(update.last_origin.changed_at, row["last_changed"]),
        "revision": row["revision"] + 1,
        "removed_at": None,
    }


def _plan_revision(update: BookUpdate, row: Row, columns: Row, offers: Sequence[Row]) -> tuple[Row, Row] | None:
    fields = rows.changed_fields(row, columns)
    if (
        update.removed
        or any(_changes_shown_offer(incoming, row["number"]) for incoming in update.incoming)
        or (update.earlier_first_seen and any(_key(offer) in update.earlier_first_seen for offer in offers))
    ):
        fields.add("offers")
    if not fields:
        return None
    kind = ChangeKind.MODIFIED if row["removed_at"] is None else ChangeKind.RESTORED
    book = _next_revision(update, row) | columns
    return book, _change(update, kind, fields, row | book, offers)


def _changes_shown_offer(incoming: IncomingOffer, book_number: int) -> bool:
    row = incoming.row
    if row is None or not incoming.is_live or row["book_number"] != book_number:
        return True
    return rows.shown_columns_differ(row, incoming.columns)


def _change(update: BookUpdate, kind: ChangeKind, fields: Collection[str], book: Row, offers: Sequence[Row]) -> Row:
    return {
        "book_id": update.book_id,
        "revision": book["revision"],
        "kind": kind.value,
        "fields": orjson.dumps(sorted(fields)).decode() if fields else "[]",
        "changed_at": book["last_changed"],
        "run_id": update.last_origin.run_id,
        "content": render_content(book, offers),
    }


def _key(row: Row) -> OfferKey:
    return row["source"], row["source_key"]
