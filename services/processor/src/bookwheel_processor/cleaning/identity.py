"""Computes the source keys of offers and the ids of books."""

from hashlib import sha256

from bookwheel_contracts.crawls import UNDECLARED_SITE_PREFIX
from pydantic import JsonValue

from bookwheel_processor.cleaning.text import clean_text
from bookwheel_processor.cleaning.urls import canonical_path

ISBN = "isbn"
_MAX_KEY_LENGTH = 400  # a book's id also contains the source


def source_key(key: JsonValue, url: str, site: str | None = None) -> str:
    """Return the page's own key (a UPC, an SKU), or its canonical path. Raises InvalidValueError.

    `site` is the run's site, or None for a site of the source itself. It prefixes the key, as in `@shop.example~SKU-1`,
    so that two sites never share a key. The end of a long key is replaced by a digest of the whole key.
    """
    offer_key = clean_text(key) or canonical_path(url)
    if site is not None:
        offer_key = f"{UNDECLARED_SITE_PREFIX}{site}~{offer_key}"
    elif offer_key.startswith(UNDECLARED_SITE_PREFIX):
        offer_key = f"/{offer_key}"
    if len(offer_key) <= _MAX_KEY_LENGTH:
        return offer_key
    digest = sha256(offer_key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{offer_key[: _MAX_KEY_LENGTH - len(digest) - 1]}~{digest}"


def book_id(source: str, key: str, isbn13: str | None) -> str:
    """Return `isbn:<isbn13>`, which is the same in every shop, or the offer's own identity if it has no ISBN."""
    return f"{ISBN}:{isbn13}" if isbn13 else f"{source}:{key}"
