"""What tells the books of a list apart that have no page of their own, and so share the list's address."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from urllib.parse import urldefrag, urljoin, urlsplit

from bookwheel_scraper.extraction.schema_books import BookNode, book_payload

_SCHEME = re.compile(r"^https?://(www\.)?", re.IGNORECASE)


def same_page(one: str, other: str) -> bool:
    """Whether two whole addresses are of one page, as far as can be told without asking: by http or https, with `www.`
    and a slash at the end or without."""
    return _bare(one) == _bare(other)


def _bare(url: str) -> str:
    return _SCHEME.sub("", urldefrag(url)[0]).rstrip("/")


def keys_of(books: Sequence[BookNode], page_url: str) -> list[str | None]:
    """For each its ISBN, else the address that it alone has (a fragment of the page's, an `@id`), else a digest of
    title and authors; None where it has not even a title. The same at every crawl, in whatever order the list is."""
    addresses = [_address(book, page_url) for book in books]
    counts = Counter(addresses)
    found: list[str | None] = []
    for book, address in zip(books, addresses, strict=True):
        isbn = book_payload(book).get("isbn")
        own = address if counts[address] == 1 else None
        found.append(isbn if isinstance(isbn, str) else own or _digest(book))
    return found


def _address(book: BookNode, page_url: str) -> str | None:
    """Without the host where that is the page's."""
    for name in (book.url, *(part.id for part in book.parts)):
        if not name or name.startswith("_:"):  # a blank node's, which the parser made up
            continue
        with suppress(ValueError):
            address = urljoin(page_url, name.strip())
            parts = urlsplit(address)
            if same_page(address, page_url) and not parts.fragment:
                continue
            if parts.netloc and parts.netloc == urlsplit(page_url).netloc:
                return parts._replace(scheme="", netloc="").geturl()
            return address
    return None


def _digest(book: BookNode) -> str | None:
    title = " ".join((book.text("name", "headline") or "").split()).casefold()
    authors = sorted(" ".join(name.split()).casefold() for name in book.texts("author", "authors"))
    if not title:
        return None
    said = "\n".join((title, *authors)).encode("utf-8", "surrogatepass")
    return f"list:{sha256(said).hexdigest()[:32]}"
