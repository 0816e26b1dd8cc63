"""A small shop for each source that chaos crawls: seeded, and told exactly what the catalog must hold of it."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from bookwheel_contracts import ChangeKind
from bookwheel_testing.shop_site import Site, list_page, product_page

_WORDS = ("Sea", "Lantern", "Ärger", "Winter", "Ωmega", "Clock", "Garden", "海", "Letters", "Orchard", "Ship", "Dust")
_LIST = 20
_GRACE = 2  # complete crawls in a row that miss a book which is removed then
_GOING, _RETURNING = 15, 3  # one in so many of those that are there, or away, on each day
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
    """What is `listed`, by the page's key, and what was and is `away`, which so many complete crawls have `missed`.

    `changes` are all that the catalog's feed must tell of the shop: keys and kinds.
    """

    source: str
    chance: random.Random
    listed: dict[str, Listing] = field(default_factory=dict)
    away: dict[str, Listing] = field(default_factory=dict)
    missed: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[str, ChangeKind]] = field(default_factory=list)

    @property
    def living(self) -> dict[str, Listing]:
        """What the catalog must hold: what is listed, and what is away within its grace."""
        return self.listed | {key: book for key, book in self.away.items() if self.missed[key] < _GRACE}

    def next_day(self, new: int) -> int:
        """`new` books come, and some of those that were away; a tenth of those that were there changes, some go. So few
        that no crawl is held for it. Returns how many come back that were removed.
        """
        old = sorted(self.listed)
        back = self.chance.sample(sorted(self.away), math.ceil(len(self.away) / _RETURNING))
        restored = [key for key in back if self.missed[key] >= _GRACE]
        for key in back:
            del self.missed[key]
            self.listed[key] = self.away.pop(key)
        self.changes += [(key, ChangeKind.RESTORED) for key in restored]
        changed = self.chance.sample(old, len(old) // 10)
        for key in changed:
            before = self.listed[key]
            self.listed[key] = Listing(before.title, before.price + Decimal("0.25"), before.stock + 1)
            self.changes.append((key, ChangeKind.MODIFIED))
        for key in self.chance.sample(sorted({*old} - {*changed}), len(old) // _GOING):
            self.away[key] = self.listed.pop(key)
        known = len(self.listed) + len(self.away)
        for key in sorted(f"u{self.source}-{known + at}" for at in range(new)):
            title = " ".join(self.chance.choices(_WORDS, k=3)) + f" {key}"
            price = Decimal(self.chance.randint(100, 9999)) / 100
            self.listed[key] = Listing(title, price, self.chance.randint(1, 40))
            self.changes.append((key, ChangeKind.ADDED))
        return len(restored)

    def crawled(self, complete: int) -> int:
        """So many complete crawls have seen today's pages: some books' grace is over. Returns how many are removed."""
        there = self.living
        self.missed.update(list(self.away) * complete)
        removed = there.keys() - self.living.keys()
        self.changes += [(key, ChangeKind.REMOVED) for key in sorted(removed)]
        return len(removed)

    def serve(self, site: Site) -> None:
        """Puts today's pages on the site, in place of yesterday's."""
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
