"""What becomes of a book whose offers change: its row, and what the feed tells of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from bookwheel_contracts import ChangeKind
from bookwheel_stores.records.catalog.book_content import book_content
from bookwheel_stores.records.catalog.writer import OfferKey, Row

from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest import rows
from bookwheel_processor.ingest.classification import Sighting
from bookwheel_processor.ingest.merge import merge


@dataclass(slots=True)
class Taken:
    """An offer as it was seen, beside its row as it was before, None for a new one. What it says holds from `since`, in
    milliseconds."""

    offer: CleanOffer
    columns: Mapping[str, Any]
    sighting: Sighting
    known: Row | None
    since: int

    @property
    def key(self) -> OfferKey:
        return self.offer.source, self.offer.source_key

    @property
    def first_seen(self) -> int:
        seen_at = self.sighting.seen_at
        return seen_at if self.known is None else min(seen_at, self.known["first_seen"])

    @property
    def is_live(self) -> bool:
        """Whether its book has the offer already."""
        return self.known is not None and self.known["removed_at"] is None

    @property
    def sighting_columns(self) -> Row:
        seen_at, run_id, item_number = self.sighting
        return {"last_seen": seen_at, "last_run": run_id, "last_item": item_number}


@dataclass(slots=True)
class BookUpdate:
    """A book, its row as it was (None for a new one), and what happens to its offers, by these `sightings`.

    It gets those that it `takes`, and no longer has those that `leave`. What it had, or had until it was removed, and
    what is another book's now, is `lost`. Of some it becomes known that they were `seen_earlier`, and when. `pages`
    tells, where it has to be asked again, when each offer that is the book's, or was until it was removed, was first
    seen.
    """

    book_id: str
    known: Row | None
    takes: list[Taken] = field(default_factory=list)
    leave: set[OfferKey] = field(default_factory=set)
    seen_earlier: dict[OfferKey, int] = field(default_factory=dict)
    sightings: list[Sighting] = field(default_factory=list)
    lost: set[OfferKey] = field(default_factory=set)
    pages: Mapping[OfferKey, int] | None = None

    @property
    def needs_pages(self) -> bool:
        """Whether an offer whose page was the book's may be so no longer."""
        return self.known is not None and (bool(self.lost) or self.known["removed_at"] is not None)

    @property
    def last(self) -> Sighting:
        return self.sightings[0] if len(self.sightings) == 1 else max(self.sightings)


def revise(update: BookUpdate, others: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """The book's row and its change; (None, None) where nothing that a book shows is different.

    `others` are the offers that it had until now.
    """
    kept: Sequence[Row] = others
    if others:
        replaced = {one.key for one in update.takes} | update.leave
        kept = [_seen_earlier(row, update) for row in others if _key(row) not in replaced]
    offers = [one.offer for one in update.takes] + [rows.offer_of(row) for row in kept]
    if not offers:
        return _remove(update, others) if update.leave else (None, None)
    columns = rows.book_columns(merge(offers))
    columns["first_seen"] = _first_seen(update)
    shown = [*(rows.shown_offer(one.offer, one.columns, one.first_seen) for one in update.takes), *kept]
    if update.known is not None:
        return _revise_known(update, update.known, columns, shown)
    book = {"book_id": update.book_id, "last_changed": update.last.seen_at, "revision": 1, "removed_at": None}
    book |= columns
    return book, _change(update, ChangeKind.ADDED, (), book, shown)


def _seen_earlier(row: Row, update: BookUpdate) -> Row:
    seen_at = update.seen_earlier.get(_key(row))
    return row if seen_at is None else row | {"first_seen": seen_at}


def _first_seen(update: BookUpdate) -> int:
    """Of the book's offers, those included that were removed from it: so a book does not become newer by a loss."""
    seen = [one.first_seen for one in update.takes]
    seen += update.seen_earlier.values()
    if update.pages is not None:
        seen += [seen_at for key, seen_at in update.pages.items() if key not in update.lost]
    elif update.known is not None:
        seen.append(update.known["first_seen"])
    return min(seen)


def _remove(update: BookUpdate, offers: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """`offers` are those that it had until now: its content is the book as it last was."""
    if update.known is None:
        return None, None
    book = _next_revision(update, update.known) | {name: update.known[name] for name in rows.BOOK_COLUMNS}
    book["removed_at"] = book["last_changed"]
    return book, _change(update, ChangeKind.REMOVED, (), update.known | book, offers)


def _next_revision(update: BookUpdate, known: Row) -> Row:
    return {
        "number": known["number"],
        "first_seen": known["first_seen"],
        "last_changed": max(update.last.seen_at, known["last_changed"]),
        "revision": known["revision"] + 1,
        "removed_at": None,
    }


def _revise_known(update: BookUpdate, known: Row, columns: Row, shown: Sequence[Row]) -> tuple[Row | None, Row | None]:
    fields = rows.changed_fields(known, columns)
    if (
        update.leave
        or any(_shows_otherwise(one, known["number"]) for one in update.takes)
        or (update.seen_earlier and any(_key(row) in update.seen_earlier for row in shown))
    ):
        fields.add("offers")
    if not fields:
        return None, None
    kind = ChangeKind.MODIFIED if known["removed_at"] is None else ChangeKind.RESTORED
    book = _next_revision(update, known) | columns
    return book, _change(update, kind, fields, known | book, shown)


def _shows_otherwise(taken: Taken, book_number: int) -> bool:
    known = taken.known
    if known is None or not taken.is_live or known["book_number"] != book_number:
        return True
    return rows.shows_otherwise(known, taken.columns)


def _change(update: BookUpdate, kind: ChangeKind, fields: Collection[str], book: Row, offers: Sequence[Row]) -> Row:
    """`book` and `offers` are all that its content is made of."""
    return {
        "book_id": update.book_id,
        "revision": book["revision"],
        "kind": kind.value,
        "fields": orjson.dumps(sorted(fields)).decode() if fields else "[]",
        "changed_at": book["last_changed"],
        "run_id": update.last.run_id,
        "content": book_content(book, offers),
    }


def _key(row: Row) -> OfferKey:
    return row["source"], row["source_key"]
