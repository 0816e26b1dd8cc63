"""The stores of a catalog API, filled like the processor fills them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bookwheel_contracts import BOOK_DETAILS
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import ChangeFeed
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.tables import book, offer
from bookwheel_stores.records.values import to_millis
from bookwheel_stores.search import open_index_writer
from bookwheel_stores.streams import connect_redis
from sqlalchemy import Engine, select, update

START = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class CatalogStores:
    """The database, search index and Redis of a catalog API. `environment` has the settings of the API."""

    environment: Mapping[str, str]
    engine: Engine

    def add(self, *, key: str, observed: int = 1, **facts: Any) -> None:
        """Adds a book with one offer, observed on `observed` days with a rising price."""
        seen = to_millis(START)
        price = facts.get("price")
        offered = {
            "price": price,
            "currency": facts.get("currency", "GBP") if price is not None else None,
            "stock": facts.get("stock"),
            "in_stock": bool(facts.get("stock")),
        }
        book_row = {
            **dict.fromkeys(BOOK_DETAILS),
            **{name: value for name, value in facts.items() if name not in {"price", "currency", "stock"}},
            **offered,
            "book_id": f"demo:{key}",
            "authors": json.dumps(facts.get("authors", ["Ann Lee"])),
            "first_seen": seen,
            "last_changed": seen,
            "revision": 1,
            "removed_at": None,
        }
        offer_row = {
            **offered,
            "source": "demo",
            "source_key": key,
            "url": f"http://shop.example/{key}",
            "content": "{}",
            "fingerprint": "",
            "first_seen": seen,
            "last_seen": seen,
            "last_run": "run",
            "last_item": 1,
        }
        with self.engine.begin() as connection:
            writer = CatalogWriter(connection)
            number = writer.add_books([book_row])[f"demo:{key}"]
            offer_number = writer.add_offers([{**offer_row, "book_number": number}])["demo", key]
            for day in range(observed):
                moment = to_millis(START + timedelta(days=day))
                observation = {**offered, "price": None if price is None else price + day * 10_000}
                writer.add_observations(
                    [{"offer_number": offer_number, "observed_at": moment, **observation}],
                    superseding={offer_number} if day else (),
                )
            change = {"book_number": number, "revision": 1, "kind": "added", "fields": "[]"}
            writer.add_changes([{**change, "changed_at": seen, "run_id": "run"}])

    def add_offer(self, book_id: str, *, source: str) -> None:
        """Adds an offer of a book, observed in the same millisecond as its first offer."""
        seen = to_millis(START)
        offered = {"price": 100_000, "currency": "GBP", "stock": 1, "in_stock": True}
        row: dict[str, Any] = {
            "source": source,
            "source_key": book_id,
            "url": f"http://{source}.example/",
            "content": "{}",
        }
        row |= {"fingerprint": "", "first_seen": seen, "last_seen": seen, "last_run": "run", "last_item": 1}
        with self.engine.begin() as connection:
            writer = CatalogWriter(connection)
            [number] = connection.execute(select(book.c.number).where(book.c.book_id == book_id)).scalars()
            [added] = writer.add_offers([{**row, **offered, "book_number": number}]).values()
            writer.add_observations([{"offer_number": added, "observed_at": seen, **offered}], superseding=())

    def mark_seen(self, source: str, moment: datetime) -> None:
        """Sets the time when the source's offers were last seen. Their content is unchanged."""
        with self.engine.begin() as connection:
            connection.execute(update(offer).where(offer.c.source == source).values(last_seen=to_millis(moment)))

    def project(self) -> int:
        """Writes all books to the index. Returns the new generation."""
        with open_index_writer(self.environment["BOOKWHEEL_SEARCH_URL"]) as writer:
            writer.apply(ChangeFeed(self.engine).list_books(after_number=0, limit=1000))
        with connect_redis(self.environment["BOOKWHEEL_REDIS_URL"]) as redis:
            return Generation(redis).advance()
