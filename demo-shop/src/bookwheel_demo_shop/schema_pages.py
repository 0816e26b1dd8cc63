"""The second storefront: plain pages with the common forms of schema.org JSON-LD."""

import json
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from bookwheel_demo_shop.catalog import Book, Catalog, Listing
from bookwheel_demo_shop.pages import PAGE_SIZE, count_pages

SCHEMA = "https://schema.org"


class SchemaPages:
    """Renders pages as HTML. Methods return None for a page that does not exist on that day."""

    def __init__(self, catalog: Catalog, templates: Environment) -> None:
        self._catalog = catalog
        self._list = templates.get_template("schema_list.html")
        self._book = templates.get_template("schema_book.html")

    def book_list(self, page: int, day: int) -> str | None:
        pages = count_pages(self._catalog.size)
        if not 1 <= page <= pages:
            return None
        listings = self._catalog.listings(day, (page - 1) * PAGE_SIZE, PAGE_SIZE)
        return self._list.render(
            listings=listings,
            data=encode_for_script(build_item_list(listings, (page - 1) * PAGE_SIZE + 1)),
            page=page,
            pages=pages,
            previous=page - 1 if page > 1 else None,
            next=page + 1 if page < pages else None,
        )

    def book(self, number: int, day: int) -> str | None:
        listing = self._catalog.find(number, day)
        return self._book.render(listing=listing, data=encode_for_script(build_document(listing))) if listing else None


def encode_for_script(data: dict[str, Any]) -> Markup:
    """Encodes JSON for a script element; `<` is escaped."""
    return Markup(json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"))  # noqa: S704 - escaped here


def book_path(book: Book) -> str:
    return f"/schema/books/{book.number}"


def build_item_list(listings: list[Listing], first_position: int) -> dict[str, Any]:
    return {
        "@context": SCHEMA,
        "@type": "ItemList",
        "itemListElement": [
            {"@type": "ListItem", "position": position, "url": book_path(listing.book)}
            for position, listing in enumerate(listings, first_position)
        ],
    }


def build_document(listing: Listing) -> dict[str, Any]:
    """Builds the page's JSON-LD. It depends on the book number: a graph, a node with two types, or a book."""
    book = listing.book
    match book.number % 3:
        case 0:
            return {"@context": SCHEMA, "@graph": [_breadcrumbs(book), _work(book) | _product(listing)]}
        case 1:
            return {"@context": SCHEMA, **_work(book), **_product(listing), "@type": ["Product", "Book"]}
        case _:
            return {"@context": SCHEMA, **_work(book), **_product(listing)}


def _work(book: Book) -> dict[str, Any]:
    authors = [{"@type": "Person", "name": name} for name in book.authors]
    facts = {
        "@type": "Book",
        "name": book.title,
        "author": authors if len(authors) > 1 else authors[0],
        "genre": book.category.name,
    }
    if book.isbn:
        facts["isbn"] = book.isbn
    if book.description:
        facts["description"] = book.description
    return facts


def _product(listing: Listing) -> dict[str, Any]:
    book = listing.book
    return {
        "sku": book.upc,
        "url": book_path(book),
        "image": f"/media/cache/{book.number}.svg",
        "offers": {
            "@type": "Offer",
            "price": listing.price,
            "priceCurrency": "GBP",
            "availability": f"{SCHEMA}/{'InStock' if listing.stock else 'OutOfStock'}",
            "inventoryLevel": {"@type": "QuantitativeValue", "value": listing.stock},
        },
        "aggregateRating": {
            "@type": "AggregateRating",
            "ratingValue": listing.rating,
            "bestRating": 5,
            "worstRating": 1,
            "ratingCount": book.review_count,
        },
    }


def _breadcrumbs(book: Book) -> dict[str, Any]:
    return {
        "@type": "BreadcrumbList",
        "itemListElement": [
            {"@type": "ListItem", "position": 1, "name": "All books", "item": "/schema/"},
            {"@type": "ListItem", "position": 2, "name": book.category.name},
        ],
    }
