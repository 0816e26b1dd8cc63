"""Builds keys for books of a list page without a page of their own."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from urllib.parse import urldefrag, urljoin, urlsplit

from bookwheel_scraper.extraction.schema_books import BookNode, build_payload

_SCHEME = re.compile(r"^https?://(www\.)?", re.IGNORECASE)


def is_same_page(url: str, other_url: str) -> bool:
    """Compares two absolute URLs without scheme, `www.`, fragment and trailing slash."""
    return _normalize(url) == _normalize(other_url)


def _normalize(url: str) -> str:
    return _SCHEME.sub("", urldefrag(url)[0]).rstrip("/")


def build_keys(books: Sequence[BookNode], page_url: str) -> list[str | None]:
    """Builds a key per book: its ISBN, else its unique URL or `@id`, else a digest of title and authors.

    The key is None for a book without any of them. Keys do not depend on the order of the list.
    """
    urls = [_find_url(book, page_url) for book in books]
    url_counts = Counter(urls)
    keys: list[str | None] = []
    for book, url in zip(books, urls, strict=True):
        isbn = build_payload(book).get("isbn")
        unique_url = url if url_counts[url] == 1 else None
        keys.append(isbn if isinstance(isbn, str) else unique_url or _build_digest(book))
    return keys


def _find_url(book: BookNode, page_url: str) -> str | None:
    """Returns the book's URL or `@id`, without the host if the page has the same host."""
    for url_or_id in (book.url, *(node.id for node in book.all_nodes)):
        if not url_or_id or url_or_id.startswith("_:"):  # a blank node id of the parser
            continue
        with suppress(ValueError):
            url = urljoin(page_url, url_or_id.strip())
            parts = urlsplit(url)
            if is_same_page(url, page_url) and not parts.fragment:
                continue
            if parts.netloc and parts.netloc == urlsplit(page_url).netloc:
                return parts._replace(scheme="", netloc="").geturl()
            return url
    return None


def _build_digest(book: BookNode) -> str | None:
    title = " ".join((book.text("name", "headline") or "").split()).casefold()
    authors = sorted(" ".join(author.split()).casefold() for author in book.texts("author", "authors"))
    if not title:
        return None
    content = "\n".join((title, *authors)).encode("utf-8", "surrogatepass")
    return f"list:{sha256(content).hexdigest()[:32]}"
