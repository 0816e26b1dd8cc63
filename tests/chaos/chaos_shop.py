"""A small seeded shop for each source of the chaos rounds, and the expected content of the catalog."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from bookwheel_contracts import ChangeKind
from bookwheel_testing.shop_site import Site, list_page, product_page

_WORDS = ("Sea", "Lantern", "Ärger", "Winter", "Ωmega", "Clock", "Garden", "海", "Letters", "Orchard", "Ship", "Dust")
_LIST_SIZE = 20
_GRACE_CRAWLS = 2  # a book is removed after this many complete crawls without it
_VANISHING, _RETURNING = 15, 3  # each day 1 of 15 listed books vanishes, and 1 of 3 vanished books returns
_DECLARATION = """\
name = "{source}"
title = "Chaos {source}"
spider = "toscrape"
start_urls = ["{url}"]
private_addresses = true

[politeness]
delay = 0
concurrency = 16
autothrottle = false
"""


@dataclass(frozen=True, slots=True)
class Listing:
    title: str
    price: Decimal
    stock: int


@dataclass(slots=True)
class Shop:
    """`listed` and `vanished`: books by the key of their page.

    `missed_crawls`: the number of complete crawls without each vanished book.
    `changes`: the expected changes of the catalog's feed, as keys and kinds.
    """

    source: str
    rng: random.Random
    listed: dict[str, Listing] = field(default_factory=dict)
    vanished: dict[str, Listing] = field(default_factory=dict)
    missed_crawls: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[str, ChangeKind]] = field(default_factory=list)

    @property
    def expected_books(self) -> dict[str, Listing]:
        """The expected books of the catalog: listed books, and books that vanished within the grace period."""
        return self.listed | {
            key: book for key, book in self.vanished.items() if self.missed_crawls[key] < _GRACE_CRAWLS
        }

    def next_day(self, new_books: int) -> int:
        """Adds `new_books` books, returns some vanished books, modifies a tenth of the other books and removes some.

        The changes are few enough that no crawl is held. Returns the number of removed books that return.
        """
        old = sorted(self.listed)
        returning_keys = self.rng.sample(sorted(self.vanished), math.ceil(len(self.vanished) / _RETURNING))
        restored_keys = [key for key in returning_keys if self.missed_crawls[key] >= _GRACE_CRAWLS]
        for key in returning_keys:
            del self.missed_crawls[key]
            self.listed[key] = self.vanished.pop(key)
        self.changes += [(key, ChangeKind.RESTORED) for key in restored_keys]
        changed_keys = self.rng.sample(old, len(old) // 10)
        for key in changed_keys:
            before = self.listed[key]
            self.listed[key] = Listing(before.title, before.price + Decimal("0.25"), before.stock + 1)
            self.changes.append((key, ChangeKind.MODIFIED))
        for key in self.rng.sample(sorted({*old} - {*changed_keys}), len(old) // _VANISHING):
            self.vanished[key] = self.listed.pop(key)
        count = len(self.listed) + len(self.vanished)
        for key in sorted(f"u{self.source}-{count + offset}" for offset in range(new_books)):
            title = " ".join(self.rng.choices(_WORDS, k=3)) + f" {key}"
            price = Decimal(self.rng.randint(100, 9999)) / 100
            self.listed[key] = Listing(title, price, self.rng.randint(1, 40))
            self.changes.append((key, ChangeKind.ADDED))
        return len(restored_keys)

    def record_crawls(self, complete_crawls: int) -> int:
        """Records complete crawls of today's pages. Returns the number of books that they remove."""
        before = self.expected_books
        self.missed_crawls.update(list(self.vanished) * complete_crawls)
        removed = before.keys() - self.expected_books.keys()
        self.changes += [(key, ChangeKind.REMOVED) for key in sorted(removed)]
        return len(removed)

    def serve(self, site: Site) -> None:
        """Replaces the shop's pages on the site with today's pages."""
        for path in [path for path in site.pages if path.startswith(f"/{self.source}/")]:
            del site.pages[path]
        site.pages.update(self._pages())

    def _pages(self) -> Iterator[tuple[str, bytes]]:
        keys = sorted(self.listed)
        lists = [keys[start : start + _LIST_SIZE] for start in range(0, len(keys), _LIST_SIZE)]
        for index, listed_keys in enumerate(lists):
            next_path = f"/{self.source}/page-{index + 2}.html" if index + 1 < len(lists) else None
            links = [f"/{self.source}/{key}/index.html" for key in listed_keys]
            name = "" if index == 0 else f"page-{index + 1}.html"
            yield f"/{self.source}/{name}", list_page(links, next_path)
        for key, book in self.listed.items():
            page = product_page(key[1:], title=book.title, price=f"{book.price:.2f}", stock=book.stock)
            yield f"/{self.source}/{key}/index.html", page


def declaration(source: str, site: Site) -> str:
    return _DECLARATION.format(source=source, url=f"{site.url}{source}/")
