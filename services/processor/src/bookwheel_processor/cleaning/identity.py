"""Computes the source keys of offers and the ids of books."""

from hashlib import sha256

from bookwheel_contracts.crawls import UNDECLARED_SITE_PREFIX
from bookwheel_extraction.values import Parsed
from bookwheel_extraction.values.text import parse_text
from bookwheel_extraction.values.urls import page_path
from pydantic import JsonValue

ISBN = "isbn"
_MAX_KEY_LENGTH = 400  # a book's id also contains the source


def parse_source_key(key: JsonValue, url: str, site: str | None = None) -> Parsed[str]:
    """Return the page's own key (a UPC, an SKU), or its path.

    `site` is the run's site, or None for a site of the source itself. It prefixes the key, as in `@shop.example~SKU-1`,
    so that two sites never share a key. The end of a long key is replaced by a digest of the whole key.
    """
    parsed = parse_text(key)
    if parsed.value is None and parsed.fault is None:
        parsed = page_path(url)
    if parsed.value is None:
        return parsed
    offer_key = parsed.value
    if site is not None:
        offer_key = f"{UNDECLARED_SITE_PREFIX}{site}~{offer_key}"
    elif offer_key.startswith(UNDECLARED_SITE_PREFIX):
        offer_key = f"/{offer_key}"
    if len(offer_key) <= _MAX_KEY_LENGTH:
        return parsed if offer_key is parsed.value else Parsed(offer_key)
    digest = sha256(offer_key.encode("utf-8", "surrogatepass")).hexdigest()
    return Parsed(f"{offer_key[: _MAX_KEY_LENGTH - len(digest) - 1]}~{digest}")


def book_id(source: str, key: str, isbn13: str | None) -> str:
    """Return `isbn:<isbn13>`, which is the same in every shop, or the offer's own identity if it has no ISBN."""
    return f"{ISBN}:{isbn13}" if isbn13 else f"{source}:{key}"
