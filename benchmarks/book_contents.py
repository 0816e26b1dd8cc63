"""Books' contents as the change feed carries them, made by the shop's own vocabulary of lengths."""

import random

import orjson

_WORDS = [f"{first}{last}" for first in "bcdfghklmnprst" for last in ("a", "er", "ing", "one", "ul", "ish", "ave")]


def contents(first: int, books: int) -> list[bytes]:
    """The same for the same numbers: descriptions of some 60 words, 50 categories, one offer each."""
    dice = random.Random(first)
    return [_content(number, dice) for number in range(first, first + books)]


def _content(number: int, dice: random.Random) -> bytes:
    price = {"amount": f"{dice.randint(100, 9999) / 100:.2f}", "currency": "GBP"}
    seen = "2026-01-31T08:15:00.000Z"
    said = {"price": price, "stock": dice.randint(0, 30), "in_stock": True}
    url = f"http://shop.example/catalogue/{number:016x}/index.html"
    book = {
        "id": f"demo:{number:016x}",
        "title": f"The {dice.choice(_WORDS)} {dice.choice(_WORDS)} {number}",
        "authors": [f"{dice.choice(_WORDS)} {dice.choice(_WORDS)}"],
        "isbn13": None,
        "category": f"Category {number % 50}",
        "description": " ".join(dice.choices(_WORDS, k=60)),
        "language": None,
        "rating": float(dice.randint(1, 5)),
        "rating_count": None,
        "image_url": f"http://shop.example/media/{number:016x}.jpg",
        "offers": [{"source": "demo", "url": url, "first_seen": seen, **said}],
        "first_seen": seen,
        "last_changed": seen,
        "revision": 1,
        **said,
    }
    return orjson.dumps(book)
