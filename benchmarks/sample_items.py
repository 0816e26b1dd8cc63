"""Items as the spider yields them, built from the demo shop's catalog without its pages."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from bookwheel_demo_shop.catalog import Catalog, Listing
from bookwheel_demo_shop.pages import STAR_WORDS, format_availability
from bookwheel_scraper.publishing.item_messages import Payload, ScrapedBook

SEED = 1588
SHOP = "http://127.0.0.1:8085"
_SHOP_BOOKS = 5_000


def scraped_books(first: int, count: int) -> list[ScrapedBook]:
    """Returns `count` books from number `first` (from 0), about 1 KB each. After 5,000 the titles repeat as volumes."""
    catalog = Catalog(size=_SHOP_BOOKS, seed=SEED)
    indices = sorted({number % _SHOP_BOOKS for number in range(first, first + min(count, _SHOP_BOOKS))})
    payloads = {index: _payload(catalog.listings(0, index, 1)[0]) for index in indices}
    return list(_volumes(payloads, range(first, first + count)))


def longest_words(titles: Iterable[str]) -> list[str]:
    """Returns the longest ASCII word of each title, sorted, without duplicates."""
    longest = {
        max((word for word in title.split() if word.isascii() and word.isalpha()), key=len, default="")
        for title in titles
    }
    return sorted(longest - {""})


def _volumes(payloads: dict[int, Payload], numbers: range) -> Iterator[ScrapedBook]:
    for number in numbers:
        volume, index = divmod(number, _SHOP_BOOKS)
        payload = payloads[index]
        key = blake2b(str(number).encode(), digest_size=8).hexdigest()
        title = f"{payload['title']}, volume {volume}" if volume else payload["title"]
        yield ScrapedBook(f"{SHOP}/catalogue/book_{number}/index.html", {**payload, "key": key, "title": title})


def _payload(listing: Listing) -> Payload:
    book = listing.book
    fields = {
        "title": book.title,
        "category": book.category.name,
        "description": book.description,
        "price": f"£{listing.price}",
        "availability": format_availability(listing),
        "rating": STAR_WORDS[listing.rating],
        "rating_count": str(book.review_count),
        "image_url": f"{SHOP}/media/{book.number}.svg",
    }
    return {name: text for name, text in fields.items() if text is not None}
