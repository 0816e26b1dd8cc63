"""A small shop for each source that chaos crawls: seeded, and told exactly what the catalogue must hold of it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from bookwheel_testing.sites import Site, list_page, product_page

_WORDS = ("Sea", "Lantern", "Ärger", "Winter", "Ωmega", "Clock", "Garden", "海", "Letters", "Orchard", "Ship", "Dust")
_LIST = 20
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


@dataclass(frozen=True, slots=True)
class Day:
    """The keys of the books that came, and of those that got another price and stock."""

    added: frozenset[str]
    changed: frozenset[str]


@dataclass(slots=True)
class Shop:
    """What is `listed`, by the page's key."""

    source: str
    chance: random.Random
    listed: dict[str, Listing] = field(default_factory=dict)

    def next_day(self, new: int) -> Day:
        """`new` books come, and a tenth of those that were there changes."""
        old = sorted(self.listed)
        changed = set(self.chance.sample(old, len(old) // 10))
        for key in sorted(changed):
            before = self.listed[key]
            self.listed[key] = Listing(before.title, before.price + Decimal("0.25"), before.stock + 1)
        added = {f"u{self.source}-{len(old) + at}" for at in range(new)}
        for key in sorted(added):
            title = " ".join(self.chance.choices(_WORDS, k=3)) + f" {key}"
            price = Decimal(self.chance.randint(100, 9999)) / 100
            self.listed[key] = Listing(title, price, self.chance.randint(1, 40))
        return Day(frozenset(added), frozenset(changed))

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
