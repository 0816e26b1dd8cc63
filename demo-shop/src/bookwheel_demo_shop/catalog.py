"""The shop's books and their facts on a day. All functions are pure and take O(1) per book.

The shop has a fixed number of places with one book each. On day 0, place p (from 0) has book number p + 1. Every
`LIFE_DAYS` days, the book of a place is replaced by a new book. Its number is the old number plus the number of places.
The places are replaced on different days. So the number of a book is computed from its place and the day. A category is
a range of positions in a permutation of the places.
"""

import math
import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

from bookwheel_demo_shop import law
from bookwheel_demo_shop.draws import Draws, fraction
from bookwheel_demo_shop.prose import Quirk, quirk_at, write_authors, write_description, write_title
from bookwheel_demo_shop.vocabulary import CATEGORIES

MAX_BOOKS = 100_000
MAX_DAY = 36_500
LIFE_DAYS = 200
"""0.5 % of the books are replaced each day."""
TERM_DAYS = 50
"""2 % of the prices and 2 % of the stocks change each day."""
MAX_STOCK = 22
FIRST_CATEGORY_NUMBER = 2
"""books.toscrape.com gives number 1 to the category of all books."""
CACHED_BOOKS = 4096
_ISBN_STEP = 387_420_489
"""Coprime to 10^9, so no two books share an ISBN."""


@dataclass(frozen=True, slots=True)
class Category:
    """A category. `first` and `size` are its range of positions."""

    number: int
    name: str
    first: int
    size: int

    @property
    def slug(self) -> str:
        return slugify(self.name)


@dataclass(frozen=True, slots=True)
class Book:
    """The constant facts of a book. `noise` is in standard deviations; money is in pence."""

    number: int
    upc: str
    isbn: str | None
    title: str
    slug: str
    authors: tuple[str, ...]
    category: Category
    description: str | None
    marker_words: frozenset[str]
    review_count: int
    usual_pence: int
    usual_stock: int
    noise: float


@dataclass(frozen=True, slots=True)
class Listing:
    """A book as the shop offers it on one day. `rating` is 1 to 5 stars."""

    book: Book
    pence: int
    stock: int
    rating: int

    @property
    def price(self) -> str:
        return f"{self.pence // 100}.{self.pence % 100:02}"

    @property
    def rated_facts(self) -> law.RatedFacts:
        return law.RatedFacts(self.book.category.name, self.pence, self.stock, self.book.marker_words)


def slugify(text: str) -> str:
    """Returns the ASCII letters and digits of a text, joined by single dashes; `book` if there are none."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text)[:60].strip("-") or "book"


def build_isbn13(number: int) -> str:
    """Builds a valid ISBN-13, unique for each number below 10^9."""
    digits = f"978{number * _ISBN_STEP % 10**9:09}"
    total = sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


class Catalog:
    """The books of a shop with `size` places. Raises ValueError for a size outside 1..`MAX_BOOKS`."""

    def __init__(self, *, size: int, seed: int) -> None:
        if not 1 <= size <= MAX_BOOKS:
            raise ValueError(f"the number of books must be 1 to {MAX_BOOKS}, not {size}")
        self.size = size
        self.seed = seed
        self._stride = next(n for n in range(max(1, round(size * 0.618)), 2 * size + 1) if math.gcd(n, size) == 1)
        self._inverse_stride = pow(self._stride, -1, size)
        self._book = lru_cache(maxsize=CACHED_BOOKS)(self._generate_book)

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """The categories with books, by number. In a small shop, some categories have no books."""
        shares = list(accumulate(CATEGORIES.values(), initial=0))
        edges = [share * self.size // shares[-1] for share in shares]
        return tuple(
            Category(number, name, first, end - first)
            for number, (name, first, end) in enumerate(
                zip(CATEGORIES, edges, edges[1:], strict=False), FIRST_CATEGORY_NUMBER
            )
            if end > first
        )

    @cached_property
    def _category_starts(self) -> list[int]:
        return [category.first for category in self.categories]

    def listings(self, day: int, first: int, count: int, category: Category | None = None) -> list[Listing]:
        """Returns at most `count` books of the shop or of a category, from rank `first` (from 0)."""
        last = min(first + count, category.size if category else self.size)
        ranks = range(first, last)
        places = ranks if category is None else [self._place(category.first + rank) for rank in ranks]
        return [self._listing(self._book(self._number(place, day)), day) for place in places]

    def find(self, number: int, day: int) -> Listing | None:
        """Returns the book with this number, or None if the shop does not have it on this day."""
        if number < 1 or self._number(self.get_place(number), day) != number:
            return None
        return self._listing(self._book(number), day)

    def get_place(self, number: int) -> int:
        """Returns the place of a book, also if the book was replaced."""
        return (number - 1) % self.size

    def _number(self, place: int, day: int) -> int:
        return place + 1 + self.size * ((day + place * 123 % LIFE_DAYS) // LIFE_DAYS)

    def _place(self, position: int) -> int:
        return position * self._inverse_stride % self.size

    def _get_category(self, place: int) -> Category:
        return self.categories[bisect_right(self._category_starts, place * self._stride % self.size) - 1]

    def _generate_book(self, number: int) -> Book:
        key = f"{self.seed}/{number}"
        draws = Draws(key)
        quirk = quirk_at(fraction(f"{key}/quirk"))
        title_number = number - 1 if quirk is Quirk.TWIN_TITLE else number
        title = write_title(Draws(f"{self.seed}/{title_number}/title"), quirk)
        description, marker_words = write_description(draws, quirk)
        return Book(
            number=number,
            upc=f"{int(fraction(f'{key}/upc') * 16**11):011x}{number:05x}"[-16:],
            isbn=build_isbn13(number + self.seed % 10**6) if draws.chance(0.94) else None,
            title=title,
            slug=slugify(title),
            authors=write_authors(draws),
            category=self._get_category(self.get_place(number)),
            description=description,
            marker_words=marker_words,
            review_count=int(400 * draws.fraction() ** 4),
            usual_pence=1_000 + draws.below(5_000),
            usual_stock=0 if draws.chance(0.05) else 1 + draws.below(MAX_STOCK),
            noise=law.standard_noise(draws.fraction()),
        )

    def _listing(self, book: Book, day: int) -> Listing:
        pence, stock = self._pence(book, day), self._stock(book, day)
        facts = law.RatedFacts(book.category.name, pence, stock, book.marker_words)
        return Listing(book, pence, stock, law.stars(facts, book.noise))

    def _pence(self, book: Book, day: int) -> int:
        """The price is the usual one in even terms, and 5 to 30 % lower or higher in odd terms."""
        term = (day + book.number * 7 % TERM_DAYS) // TERM_DAYS
        if term % 2 == 0:
            return book.usual_pence
        change = fraction(f"{self.seed}/{book.number}/price/{term}") * 0.5 - 0.3
        return round(book.usual_pence * (1 + change + (0.05 if change >= 0 else -0.05)))

    def _stock(self, book: Book, day: int) -> int:
        """The stock is the usual one in even terms, and a different one in odd terms."""
        term = (day + (book.number * 11 + 25) % TERM_DAYS) // TERM_DAYS
        if term % 2 == 0:
            return book.usual_stock
        return (book.usual_stock + 1 + int(fraction(f"{self.seed}/{book.number}/stock/{term}") * MAX_STOCK)) % (
            MAX_STOCK + 1
        )
