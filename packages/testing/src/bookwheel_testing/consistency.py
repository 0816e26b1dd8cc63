"""What holds of the records whatever has happened to them."""

import json
from collections.abc import Iterable
from typing import Any

from bookwheel_stores.records import BookReader, ChangeFeed
from bookwheel_stores.records.runs.quarantine import INDEX_ENTRIES
from bookwheel_stores.records.tables import book, change, observation, offer, processed_item, quarantine
from sqlalchemy import Engine, func, select

from bookwheel_testing.books import state_of

VOLATILE = {"number", "revision", "last_changed"}
"""What tells of a book's way through the records, and so depends on the order in which items came."""
_MOST = 100_000


def catalog_contents(engine: Engine) -> list[dict[str, Any]]:
    """What the living books say, in the order of their ids, without what depends on the order of the items."""
    books = BookReader(engine).page(after_number=0, limit=_MOST)
    found = [one.model_dump(mode="json", exclude=VOLATILE) for one in books]
    return sorted(found, key=lambda one: str(one["id"]))


def _left(changes: Iterable[tuple[int, str, str]]) -> set[tuple[str, str]]:
    """Sources and URLs of the offers that a change took from a book, alone or with the whole book."""
    offered: dict[int, set[tuple[str, str]]] = {}
    left: set[tuple[str, str]] = set()
    for number, kind, content in changes:
        now = {(one["source"], one["url"]) for one in json.loads(content)["offers"] if kind != "removed"}
        left |= offered.get(number, now) - now
        offered[number] = now
    return left


def check_consistent(engine: Engine) -> None:
    """AssertionError where books, offers, observations, changes and processed items do not fit together."""
    reader = BookReader(engine)
    books = reader.page(after_number=0, limit=_MOST)
    assert len(books) == reader.count()
    assert all(one.offers for one in books), "a living book has an offer"
    offers = [(one.source, one.source_key) for each in books for one in each.offers]
    assert len(offers) == len(set(offers)), "an offer is of one book"
    told = {state.book_id: state for state in ChangeFeed(engine).changed_books(after=0, limit=_MOST).books}
    assert [told[one.id] for one in books] == [state_of(one) for one in books], "the feed tells every book"
    assert sum(not state.removed for state in told.values()) == len(books)
    with engine.connect() as connection:
        assert None not in connection.scalars(select(change.c.content)).all()
        there = select(offer.c.number).where(offer.c.removed_at.is_(None)).order_by(offer.c.number)
        numbers = connection.scalars(there).all()
        of_living = select(func.count()).select_from(offer.join(book, book.c.number == offer.c.book_number))
        assert connection.scalar(of_living.where(book.c.removed_at.is_(None))) == len(offers)
        rows = connection.execute(select(observation).order_by(observation.c.number)).all()
        in_force = sorted(row.offer_number for row in rows if row.superseded_at is None)
        assert in_force == list(numbers), "of each offer that is there one observation is in force"
        spans: dict[int, list[tuple[int, int | None]]] = {}
        for row in rows:
            spans.setdefault(row.offer_number, []).append((row.observed_at, row.superseded_at))
        shops = {row.number: (row.source, row.url) for row in connection.execute(select(offer))}
        contents = select(change.c.book_number, change.c.kind, change.c.content).order_by(change.c.sequence)
        left = _left(tuple(row) for row in connection.execute(contents))
        for number, each in spans.items():
            begins, ends = [one for one, _ in each[1:]], [one for _, one in each[:-1]]
            assert shops[number] in left or begins == ends, "one follows another, unless the offer was away"
        revisions: dict[int, list[int]] = {}
        for row in connection.execute(select(change.c.book_number, change.c.revision).order_by(change.c.sequence)):
            revisions.setdefault(row.book_number, []).append(row.revision)
        known = {row.number: list(range(1, row.revision + 1)) for row in connection.execute(select(book))}
        assert revisions == known, "each revision is one change"
        of_items = ~quarantine.c.entry_id.startswith(INDEX_ENTRIES)
        quarantined = connection.scalar(select(func.count()).select_from(quarantine).where(of_items)) or 0
        processed = connection.scalar(select(func.count()).select_from(processed_item)) or 0
        assert processed >= quarantined
