"""The Elasticsearch mapping: which fields a book has in the index and how each is made from it.

Change a field's meaning and `MAPPING` must count up: an index of another mapping has another name.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from bookwheel_contracts import BookState

from bookwheel_stores.search.digests import digest
from bookwheel_stores.search.folding import folded_text, folded_words
from bookwheel_stores.search.number_units import SCALES, price_units, rating_units
from bookwheel_stores.search.queries import SuggestionKind
from bookwheel_stores.search.tantivy.documents import title_keys
from bookwheel_stores.search.tantivy.schema import TERM_FIELDS, TITLE_START

MAPPING = "books-v1"
TITLE_ORDER = ("by_title_1", "by_title_2", "by_title_3", "by_title_4")
"""The 32 first bytes of the folded title, eight to a field, less `SIGN`: Elasticsearch's integers are signed."""
SIGN = 1 << 63
ORDERS = ("by_price", "by_rating", "by_stock", "by_first_seen", "by_last_changed")
MOST = (1 << 38) - 2
"""The greatest value in an order; what is greater ties with it. The embedded engine's keys have no room for more."""
TYPOS = "words_with_typos"
"""Folded words of title, authors and category: those that are found with typos too."""
_MAX_TERM = 8191  # characters: Lucene takes terms of up to 32,766 bytes
_SUGGESTED_WORDS = 6
_MAX_COMPLETION = 400

_words = {"type": "text", "analyzer": "whitespace", "norms": False}
_term = {"type": "keyword", "ignore_above": _MAX_TERM}
_order = {"type": "long", "index": False}
_completion = {
    "type": "completion",
    "analyzer": "keyword",
    "preserve_separators": True,
    "max_input_length": _MAX_COMPLETION,
}


def suggest_field(kind: SuggestionKind) -> str:
    return f"suggest_{kind}"


def complete_field(kind: SuggestionKind) -> str:
    return f"complete_{kind}"


def index_body() -> dict[str, Any]:
    """Settings and mappings of a new index.

    One shard: its counts are exact however many values a field has. Nothing refreshes it but its writers, who know when
    a batch is whole.
    """
    properties: dict[str, Any] = {
        "number": {"type": "long"},
        "revision": _order,
        "digest": _order,
        "removed": {"type": "boolean"},
        "id": _term,
        "body": {"type": "text", "index": False, "store": True},
        "title_exact": _term,
        "weight": {"type": "double", "index": False},
        "in_stock": {"type": "boolean"},
        **dict.fromkeys(("title", "authors", "category_text", "description"), _words),
        TYPOS: {**_words, "index_options": "docs"},
        **dict.fromkeys(TERM_FIELDS, _term),
        **{name: {"type": "long"} for name in SCALES},
        **dict.fromkeys((*ORDERS, *TITLE_ORDER), _order),
    }
    for kind in SuggestionKind:
        properties[suggest_field(kind)] = {**_term, "doc_values": False}
        properties[complete_field(kind)] = _completion
    return {
        "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "-1"},
        "mappings": {"dynamic": "strict", "_source": {"enabled": False}, "properties": properties},
    }


def build_document(book: BookState) -> dict[str, Any]:
    """A removed book leaves a document that no query finds: it keeps an earlier revision from coming back."""
    if book.removed:
        return {"number": book.number, "revision": book.revision, "removed": True, "id": book.book_id}
    content = orjson.loads(book.content)
    return {
        "number": book.number,
        "revision": book.revision,
        "digest": digest(book.book_id, book.revision),
        "removed": False,
        "id": book.book_id,
        "body": book.content.decode(),
        **_texts(book.number, content),
        **_facts(content),
        **_numbers(content),
    }


def _texts(number: int, content: Mapping[str, Any]) -> dict[str, Any]:
    title = folded_words(content["title"])
    joined = " ".join(title)
    authors = [folded_words(author) for author in content["authors"]]
    category = [] if content["category"] is None else folded_words(content["category"])
    names = [joined, *(" ".join(words) for words in authors), " ".join(category)]
    texts: dict[str, Any] = {
        "title": f"{TITLE_START} {joined}",
        "title_exact": joined,
        "authors": names[1:-1],
        "category_text": names[-1],
        "description": folded_text(content["description"] or ""),
        TYPOS: " ".join(names),
        "weight": weight(len(title), number),
    }
    texts |= {name: key - SIGN for name, key in zip(TITLE_ORDER, title_keys(joined), strict=True)}
    for kind, found in (
        (SuggestionKind.TITLE, [title]),
        (SuggestionKind.AUTHOR, authors),
        (SuggestionKind.CATEGORY, [category]),
    ):
        inputs = list(dict.fromkeys(_beginnings(found)))
        if inputs:
            texts[suggest_field(kind)] = texts[complete_field(kind)] = inputs
    return texts


def weight(title_words: int, number: int) -> float:
    """What a match's score is multiplied by: 1.968 to 2, shorter titles first; numbers spread what else would tie."""
    return 2 - (min(title_words, 31) + number % 2048 / 2048) / 1000


def _beginnings(names: Sequence[list[str]]) -> Iterator[str]:
    """A name is completed from the start of each of its first words."""
    for words in names:
        for start in range(min(len(words), _SUGGESTED_WORDS)):
            yield " ".join(words[start : start + _SUGGESTED_WORDS])


def _facts(content: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "author": list(dict.fromkeys(content["authors"])),
        "source": list(dict.fromkeys(offer["source"] for offer in content["offers"])),
        "in_stock": content["in_stock"],
    }
    facts |= {name: content[name] for name in ("category", "language", "isbn13") if content[name] is not None}
    if content["price"] is not None:
        facts["currency"] = content["price"]["currency"]
    return facts


def _numbers(content: Mapping[str, Any]) -> dict[str, int]:
    """The filterable integers, and each order's value: prices in cents, times in tenths of a second."""
    price = None if content["price"] is None else price_units(content["price"]["amount"])
    rating = None if content["rating"] is None else rating_units(content["rating"])
    seen, changed = _milliseconds(content["first_seen"]), _milliseconds(content["last_changed"])
    numbers = {
        "price": price,
        "rating": rating,
        "rating_count": content["rating_count"],
        "stock": content["stock"],
        "first_seen": seen,
        "last_changed": changed,
        "by_price": _ordered(None if price is None else price // 100),
        "by_rating": _ordered(rating),
        "by_stock": _ordered(content["stock"]),
        "by_first_seen": _ordered(seen // 100),
        "by_last_changed": _ordered(changed // 100),
    }
    return {name: units for name, units in numbers.items() if units is not None}


def _milliseconds(moment: str) -> int:
    """From RFC 3339."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _ordered(value: int | None) -> int | None:
    return None if value is None else min(max(value, 0), MOST)
