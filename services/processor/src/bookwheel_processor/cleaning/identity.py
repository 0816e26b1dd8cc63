"""Which offer, and of which book, a page is."""

from hashlib import sha256

from bookwheel_contracts.crawls import SITE_MARK
from pydantic import JsonValue

from bookwheel_processor.cleaning.text import clean_text
from bookwheel_processor.cleaning.urls import canonical_path

ISBN = "isbn"
_LONGEST_KEY = 400  # leaves room for the source's name in a book's id


def source_key(key: JsonValue, url: str, site: str | None = None) -> str:
    """The page's own key (a UPC, an SKU), else its canonical path. Raises Unclean.

    Behind the `site` that the run was led to, where it is none of the source's own: `@shop.example~SKU-1`. So no two
    sites share a key, whatever their pages say. A key that would be too long keeps its beginning and gets the digest
    of the whole.
    """
    found = clean_text(key) or canonical_path(url)
    if site is not None:
        found = f"{SITE_MARK}{site}~{found}"
    elif found.startswith(SITE_MARK):
        found = f"/{found}"
    if len(found) <= _LONGEST_KEY:
        return found
    digest = sha256(found.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{found[: _LONGEST_KEY - len(digest) - 1]}~{digest}"


def book_id(source: str, key: str, isbn13: str | None) -> str:
    """`isbn:<isbn13>` where there is one, so that a book is one book in every shop; else the offer's own identity."""
    return f"{ISBN}:{isbn13}" if isbn13 else f"{source}:{key}"
