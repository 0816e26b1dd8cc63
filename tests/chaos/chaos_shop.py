"""A small seeded shop for each source of the chaos rounds, with the expected content of the catalog."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from bookwheel_contracts import ChangeKind
from bookwheel_testing.shop_site import Site, list_page, product_page

_WORDS = (
    "Sea",
    "Lantern",
    "Ärger",
    "Winter",
    "Ωmega",
    "FakeClock",
    "Garden",
    "海",
    "Letters",
    "Orchard",
    "Ship",
    "Dust",
)
_LIST = 20
_GRACE = 2  # a book is removed after this many complete crawls without it
_VANISHING, _RETURNING = 15, 3  # each day one in 15 listed books vanishes, and one in 3 vanished books returns
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
    """`listed` and `vanished` books by the page's key; `missed` counts the complete crawls without each vanished book.

    `changes` are the expected changes of the catalog's feed: keys and kinds.
    """

    source: str
    rng: random.Random
    listed: dict[str, Listing] = field(default_factory=dict)
    vanished: dict[str, Listing] = field(default_factory=dict)
    missed: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[str, ChangeKind]] = field(default_factory=list)

    @property
    def expected_books(self) -> dict[str, Listing]:
        """The books that the catalog must have: those listed, and those vanished within the grace period."""
        return self.listed | {key: book for key, book in self.vanished.items() if self.missed[key] < _GRACE}

    def next_day(self, new: int) -> int:
        """Adds `new` books and some vanished ones; a tenth of the others changes and some vanish.

        The changes are few enough that no crawl is held. Returns the number of removed books that return.
        """
        old = sorted(self.listed)
        returning = self.rng.sample(sorted(self.vanished), math.ceil(len(self.vanished) / _RETURNING))
        restored = [key for key in returning if self.missed[key] >= _GRACE]
        for key in returning:
            del self.missed[key]
            self.listed[key] = self.vanished.pop(key)
        self.changes += [(key, ChangeKind.RESTORED) for key in restored]
        changed = self.rng.sample(old, len(old) // 10)
        for key in changed:
            before = self.listed[key]
            self.listed[key] = Listing(before.title, before.price + Decimal("0.25"), before.stock + 1)
            self.changes.append((key, ChangeKind.MODIFIED))
        for key in self.rng.sample(sorted({*old} - {*changed}), len(old) // _VANISHING):
            self.vanished[key] = self.listed.pop(key)
        count = len(self.listed) + len(self.vanished)
        for key in sorted(f"u{self.source}-{count + at}" for at in range(new)):
            title = " ".join(self.rng.choices(_WORDS, k=3)) + f" {key}"
            price = Decimal(self.rng.randint(100, 9999)) / 100
            self.listed[key] = Listing(title, price, self.rng.randint(1, 40))
            self.changes.append((key, ChangeKind.ADDED))
        return len(restored)

    def crawled(self, complete: int) -> int:
        """Records that `complete` crawls have seen today's pages. Returns the number of books that they remove."""
        before = self.expected_books
        self.missed.update(list(self.vanished) * complete)
        removed = before.keys() - self.expected_books.keys()
        self.changes += [(key, ChangeKind.REMOVED) for key in sorted(removed)]
        return len(removed)

    def serve(self, site: Site) -> None:
        """Replaces yesterday's pages of the site by today's."""
        for path in [path for path in site.pages if path.startswith(f"/{self.source}/")]:
            del site.pages[path]
        site.pages.update(self._pages())

    def _pages(self) -> Iterator[tuple[str, bytes]]:
        keys = sorted(self.listed)
        lists = [keys[at : at + _LIST] for at in range(0, len(keys), _LIST)]
        for index, shown in enumerate(lists):
            following = f"/{self.source}/page-{index + 2}.html" if index + 1 < len(lists) else None
            links = [f"/{self.source}/{key}/index.html" for key in shown]
            name = "" if index == 0 else f"page-{index + 1}.html"
            yield f"/{self.source}/{name}", list_page(links, following)
        for key, book in self.listed.items():
            page = product_page(key[1:], title=book.title, price=f"{book.price:.2f}", stock=book.stock)
            yield f"/{self.source}/{key}/index.html", page


def declaration(source: str, site: Site) -> str:
    return _DECLARATION.format(source=source, url=f"{site.url}{source}/")
