"""Invariants of the records."""

import json
from collections.abc import Iterable
from typing import Any

from bookwheel_stores.records import BookReader, ChangeFeed
from bookwheel_stores.records.runs.quarantine import INDEX_ENTRY_PREFIX
from bookwheel_stores.records.tables import book as book_table
from bookwheel_stores.records.tables import change, observation, offer, processed_item, quarantine
from sqlalchemy import Engine, func, select

from bookwheel_testing.sample_books import state_of

ORDER_DEPENDENT_FIELDS = {"number", "revision", "last_changed"}
_LIMIT = 100_000


def catalog_contents(engine: Engine) -> list[dict[str, Any]]:
    """Returns the current books sorted by id, without fields that depend on the order of the items."""
    books = BookReader(engine).page(after_number=0, limit=_LIMIT)
    contents = [book.model_dump(mode="json", exclude=ORDER_DEPENDENT_FIELDS) for book in books]
    return sorted(contents, key=lambda content: str(content["id"]))


def _removed_offers(changes: Iterable[tuple[int, str, str]]) -> set[tuple[str, str]]:
    """Returns sources and URLs of removed offers, including the offers of removed books."""
    offers_by_book: dict[int, set[tuple[str, str]]] = {}
    removed: set[tuple[str, str]] = set()
    for book_number, change_kind, content in changes:
        current = {(item["source"], item["url"]) for item in json.loads(content)["offers"] if change_kind != "removed"}
        removed |= offers_by_book.get(book_number, current) - current
        offers_by_book[book_number] = current
    return removed


def check_consistent(engine: Engine) -> None:
    """Raises AssertionError if books, offers, observations, changes and processed items contradict each other."""
    reader = BookReader(engine)
    books = reader.page(after_number=0, limit=_LIMIT)
    assert len(books) == reader.count()
    assert all(book.offers for book in books), "every current book has an offer"
    offers = [(item.source, item.source_key) for book in books for item in book.offers]
    assert len(offers) == len(set(offers)), "an offer belongs to one book"
    states_by_id = {state.book_id: state for state in ChangeFeed(engine).changed_books(after=0, limit=_LIMIT).books}
    assert [states_by_id[book.id] for book in books] == [state_of(book) for book in books], "the feed has every book"
    assert sum(not state.removed for state in states_by_id.values()) == len(books)
    with engine.connect() as connection:
        assert None not in connection.scalars(select(change.c.content)).all()
        current_offers = select(offer.c.number).where(offer.c.removed_at.is_(None)).order_by(offer.c.number)
        numbers = connection.scalars(current_offers).all()
        offers_with_book = offer.join(book_table, book_table.c.number == offer.c.book_number)
        count = select(func.count()).select_from(offers_with_book)
        assert connection.scalar(count.where(book_table.c.removed_at.is_(None))) == len(offers)
        rows = connection.execute(select(observation).order_by(observation.c.number)).all()
        current = sorted(row.offer_number for row in rows if row.superseded_at is None)
        assert current == list(numbers), "every current offer has one current observation"
        periods_by_offer: dict[int, list[tuple[int, int | None]]] = {}
        for row in rows:
            periods_by_offer.setdefault(row.offer_number, []).append((row.observed_at, row.superseded_at))
        offer_keys = {row.number: (row.source, row.url) for row in connection.execute(select(offer))}
        contents = select(change.c.book_number, change.c.kind, change.c.content).order_by(change.c.sequence)
        removed = _removed_offers(tuple(row) for row in connection.execute(contents))
        for number, periods in periods_by_offer.items():
            starts, ends = [start for start, _ in periods[1:]], [end for _, end in periods[:-1]]
            assert offer_keys[number] in removed or starts == ends, "observations follow each other"
        revisions: dict[int, list[int]] = {}
        for row in connection.execute(select(change.c.book_number, change.c.revision).order_by(change.c.sequence)):
            revisions.setdefault(row.book_number, []).append(row.revision)
        expected = {row.number: list(range(1, row.revision + 1)) for row in connection.execute(select(book_table))}
        assert revisions == expected, "each revision is one change"
        is_item = ~quarantine.c.entry_id.startswith(INDEX_ENTRY_PREFIX)
        quarantined = connection.scalar(select(func.count()).select_from(quarantine).where(is_item)) or 0
        processed = connection.scalar(select(func.count()).select_from(processed_item)) or 0
        assert processed >= quarantined
